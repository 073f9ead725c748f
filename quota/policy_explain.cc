// Explain: what holds for an account or a user, and which line or field decides.
#include "quota/policy.h"
#include "quota/pop3_rules.h"
#include "quota/size.h"

namespace hosting {
namespace {

std::string Name(const Effective& effective, Decider decider) {
  switch (decider) {
    case Decider::kService:
      return "[service]";
    case Decider::kPackage:
      return "package " + effective.package->name;
    case Decider::kAccount:
      return "account " + effective.account_name;
    case Decider::kUserRule:
      return "user " + effective.user_rule->user;
    default:
      return "default";
  }
}

// With what decides, and where in the file.
class Explanation {
 public:
  Explanation(const Effective& effective, std::string_view file)
      : effective_(effective), file_(file) {}
  std::string By(const Decision& decision, std::string_view field = {}) const;
  std::string ByPackage(Key key) const;

 private:
  const Effective& effective_;
  const std::string_view file_;
};

std::string Explanation::By(const Decision& decision, std::string_view field) const {
  if (decision.decider == Decider::kUserdb) {
    return "userdb field " + std::string(field);
  }
  std::string text = Name(effective_, decision.decider);
  if (decision.line != 0) {
    text += " (" + (file_.empty() ? "line " : std::string(file_) + ":") +
            std::to_string(decision.line) + ")";
  }
  return text;
}

std::string Explanation::ByPackage(Key key) const {
  const Line line = effective_.package->lines[key];
  return By({line != 0 ? Decider::kPackage : Decider::kDefault, line});
}

std::string Limit(uint64_t bytes) {
  return bytes == 0 ? "none" : FormatSize(bytes);
}

void ExplainWarnings(const Package& package, const Explanation& e,
                     std::vector<std::string>& lines) {
  std::string percents;
  for (const uint32_t percent : package.warn_percent) {
    percents += (percents.empty() ? "" : ", ") + std::to_string(percent);
  }
  const auto number = [](uint32_t value) {
    return value == 0 ? std::string("none") : std::to_string(value);
  };
  lines.push_back("warn_percent: " + (percents.empty() ? "none" : percents) + ": " +
                  e.ByPackage(kKeyWarnPercent));
  lines.push_back("warn_days: " + number(package.warn_days) + ": " + e.ByPackage(kKeyWarnDays));
  lines.push_back("warn_weekly_percent: " + number(package.warn_weekly_percent) + ": " +
                  e.ByPackage(kKeyWarnWeeklyPercent));
  lines.push_back(
      "warn_overage: " + (package.warn_overage ? package.warn_overage->Format() : "none") + ": " +
      e.ByPackage(kKeyWarnOverage));
}

void ExplainPop3(const Effective& effective, const Explanation& e,
                 std::vector<std::string>& lines) {
  const Package& package = *effective.package;
  const Pop3Rules rules = Pop3RulesOf(effective);
  const char* const left_out = rules.imap ? " (the user may use IMAP)" : "";
  const bool no_retention = package.pop3_retention && !rules.retention;
  const bool no_inbox = package.pop3_into_inbox && !rules.into_inbox;
  lines.push_back("pop3_retention: " + RetentionText(rules.retention) +
                  (no_retention ? left_out : "") + ": " + e.ByPackage(kKeyPop3Retention));
  lines.push_back("pop3_dele: " + DeleText(rules.dele) + ": " + e.ByPackage(kKeyPop3Dele));
  lines.push_back(std::string("pop3_into_inbox: ") + (rules.into_inbox ? "true" : "false") +
                  (no_inbox ? left_out : "") + ": " + e.ByPackage(kKeyPop3IntoInbox));
}

}  // namespace

std::vector<std::string> Explain(const Effective& effective, std::string_view file) {
  const Explanation e(effective, file);
  const Package& package = *effective.package;
  std::vector<std::string> lines;
  lines.push_back("package: " + package.name + ": " +
                  e.By(effective.package_by, "hosting_package"));
  std::string limit = "limit: " + Limit(effective.limit) + ": " + e.By(effective.limit_by);
  if (effective.extra_space != 0) {
    limit += ", with extra_space " + FormatSize(effective.extra_space) + ": " +
             e.By(effective.extra_space_by, "hosting_extra_space");
  }
  lines.push_back(limit);
  if (effective.over_limit == OverLimit::kBill) {
    lines.push_back("hard_limit: " + Limit(effective.hard_limit) + ": " +
                    (package.hard_limit == 0 ? e.By({}) : e.ByPackage(kKeyHardLimit)));
  }
  lines.push_back("mailbox_limit: " + Limit(effective.mailbox_limit) + ": " +
                  e.By(effective.mailbox_limit_by, "hosting_mailbox_limit"));
  lines.push_back(
      "message_limit: " +
      (effective.message_limit == 0 ? "none" : std::to_string(effective.message_limit)) + ": " +
      e.ByPackage(kKeyMessageLimit));
  lines.push_back(std::string("over_limit: ") + NameOf(effective.over_limit) + ": " +
                  e.ByPackage(kKeyOverLimit));
  lines.push_back(std::string("enforce: ") + (effective.enforce ? "true" : "false") + ": " +
                  e.By(effective.enforce_by));
  for (int i = 0; i < kProtocols; ++i) {
    const AccessDecision access = PolicyIndex::AccessOf(effective, static_cast<Protocol>(i));
    lines.push_back(std::string(kProtocolNames[static_cast<size_t>(i)]) + ": " +
                    NameOf(access.access) + ": " + e.By(access.by));
  }
  ExplainWarnings(package, e, lines);
  ExplainPop3(effective, e, lines);
  return lines;
}

}  // namespace hosting

// Explain: what holds for an account or a user, and which line or field decides.
#include "quota/policy.h"
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

std::string By(const Effective& effective, const Decision& decision, std::string_view field) {
  if (decision.decider == Decider::kUserdb) {
    return "userdb field " + std::string(field);
  }
  std::string text = Name(effective, decision.decider);
  if (decision.line != 0) {
    text += " (line " + std::to_string(decision.line) + ")";
  }
  return text;
}

std::string Limit(uint64_t bytes) {
  return bytes == 0 ? "none" : FormatSize(bytes);
}

}  // namespace

std::vector<std::string> Explain(const Effective& effective) {
  const Package& package = *effective.package;
  std::vector<std::string> lines;
  lines.push_back("package: " + package.name + ": " +
                  By(effective, effective.package_by, "hosting_package"));
  std::string limit =
      "limit: " + Limit(effective.limit) + ": " + By(effective, effective.limit_by, "");
  if (effective.extra_space != 0) {
    limit += ", with extra_space " + FormatSize(effective.extra_space) + ": " +
             By(effective, effective.extra_space_by, "hosting_extra_space");
  }
  lines.push_back(limit);
  const Decision by_package{Decider::kPackage, package.lines[kKeyHardLimit]};
  if (effective.over_limit == OverLimit::kBill) {
    lines.push_back("hard_limit: " + Limit(effective.hard_limit) + ": " +
                    By(effective, package.hard_limit == 0 ? Decision{} : by_package, ""));
  }
  lines.push_back("mailbox_limit: " + Limit(effective.mailbox_limit) + ": " +
                  By(effective, effective.mailbox_limit_by, "hosting_mailbox_limit"));
  const auto of_package = [&](Key key) {
    const Line line = package.lines[key];
    return By(effective, {line != 0 ? Decider::kPackage : Decider::kDefault, line}, "");
  };
  lines.push_back(
      "message_limit: " +
      (effective.message_limit == 0 ? "none" : std::to_string(effective.message_limit)) + ": " +
      of_package(kKeyMessageLimit));
  lines.push_back(std::string("over_limit: ") + NameOf(effective.over_limit) + ": " +
                  of_package(kKeyOverLimit));
  lines.push_back(std::string("enforce: ") + (effective.enforce ? "true" : "false") + ": " +
                  By(effective, effective.enforce_by, ""));
  for (int i = 0; i < kProtocols; ++i) {
    const AccessDecision access = PolicyIndex::AccessOf(effective, static_cast<Protocol>(i));
    lines.push_back(std::string(kProtocolNames[static_cast<size_t>(i)]) + ": " +
                    NameOf(access.access) + ": " + By(effective, access.by, ""));
  }
  std::string percents;
  for (const uint32_t percent : package.warn_percent) {
    percents += (percents.empty() ? "" : ", ") + std::to_string(percent);
  }
  const auto number = [](uint32_t value) {
    return value == 0 ? std::string("none") : std::to_string(value);
  };
  lines.push_back("warn_percent: " + (percents.empty() ? "none" : percents) + ": " +
                  of_package(kKeyWarnPercent));
  lines.push_back("warn_days: " + number(package.warn_days) + ": " + of_package(kKeyWarnDays));
  lines.push_back("warn_weekly_percent: " + number(package.warn_weekly_percent) + ": " +
                  of_package(kKeyWarnWeeklyPercent));
  lines.push_back(
      "warn_overage: " + (package.warn_overage ? package.warn_overage->Format() : "none") + ": " +
      of_package(kKeyWarnOverage));
  return lines;
}

}  // namespace hosting

#include "quota/policy_file.h"

#include <algorithm>

#include "quota/policy_check.h"
#include "quota/policy_protocols.h"
#include "quota/policy_reader.h"
#include "quota/policy_toml.h"
#include "quota/policy_warnings.h"

namespace hosting {
namespace {

using Reader = PolicyReader;
using Node = TomlNode;

constexpr uint32_t kMinWebInterval = 60;   // seconds
constexpr uint32_t kMaxRetention = 36500;  // days
constexpr uint32_t kMaxConnections = 100000;
constexpr int64_t kMaxWarnDays = 365;
constexpr int64_t kMaxWeeklyPercent = 10000;

constexpr Choice<OverLimit> kOverLimit[] = {
    {"refuse", OverLimit::kRefuse}, {"bill", OverLimit::kBill}, {"report", OverLimit::kReport}};
constexpr Choice<Basis> kBasis[] = {
    {"peak", Basis::kPeak}, {"average", Basis::kAverage}, {"end", Basis::kEnd}};
constexpr Choice<Rounding> kRounding[] = {
    {"up", Rounding::kUp}, {"nearest", Rounding::kNearest}, {"down", Rounding::kDown}};

// imap = "deny", of a package, an account or a user's rule.
template <typename T, Protocol protocol>
constexpr PolicyField<T> AccessField() {
  return {kProtocolNames[protocol],
          [](Reader& r, const Node& n, T& to) { ReadAccess(r, n, to.access[protocol]); }};
}

// A key whose line is kept, with a value that a package has always and others may have.
template <typename T>
void ReadLimit(Reader& r, const Node& n, T& value, Line& line) {
  uint64_t bytes = 0;
  if (r.Limit(n, &bytes)) {
    value = bytes;
    line = n.line;
  }
}

template <typename T>
void ReadEnforce(Reader& r, const Node& n, T& value, Line& line) {
  bool enforce = true;
  if (r.Boolean(n, &enforce)) {
    value = enforce;
    line = n.line;
  }
}

constexpr PolicyField<Overage> kOverageFields[] = {
    {"price", [](Reader& r, const Node& n, Overage& o) { r.Amount(n, &o.price); }},
    {"currency", [](Reader& r, const Node& n, Overage& o) { r.Currency(n, &o.currency); }},
    {"per",
     [](Reader& r, const Node& n, Overage& o) {
       uint64_t per = 0;
       if (r.Size(n, &per) && (per != 0 || r.Wrong(n, "a size above 0"))) {
         o.per = per;
       }
     }},
    {"basis", [](Reader& r, const Node& n, Overage& o) { r.OneOf(n, kBasis, &o.basis); }},
    {"rounding", [](Reader& r, const Node& n, Overage& o) { r.OneOf(n, kRounding, &o.rounding); }},
};

void ReadOverage(Reader& r, const Node& n, Package& package) {
  if (!r.Table(n)) {
    return;
  }
  package.overage.emplace();
  r.Fields<Overage>(n, kOverageFields, *package.overage);
  for (const char* const needed : {"price", "currency"}) {
    if (ChildOf(n, needed) == nullptr) {
      r.Tell(n, std::string("expected the key ") + needed + " in overage");
    }
  }
}

constexpr Choice<bool> kRetentionFrom[] = {{"delivery", false}, {"retrieval", true}};
constexpr Choice<bool> kUnretrieved[] = {{"keep", false}, {"delete", true}};
constexpr PolicyField<Retention> kRetentionFields[] = {
    {"days",
     [](Reader& r, const Node& n, Retention& to) { r.Number(n, 1, kMaxRetention, &to.days); }},
    {"from", [](Reader& r, const Node& n,
                Retention& to) { r.OneOf(n, kRetentionFrom, &to.from_retrieval); }},
    {"unretrieved", [](Reader& r, const Node& n,
                       Retention& to) { r.OneOf(n, kUnretrieved, &to.delete_unretrieved); }},
    {"with_imap", [](Reader& r, const Node& n, Retention& to) { r.Boolean(n, &to.with_imap); }},
    {"notice_days", [](Reader& r, const Node& n,
                       Retention& to) { r.Number(n, 0, kMaxRetention, &to.notice_days); }},
    {"notice_subject", [](Reader& r, const Node& n,
                          Retention& to) { r.Text(n, "a line of text", &to.notice_subject); }},
    {"notice_text",
     [](Reader& r, const Node& n, Retention& to) { r.Lines(n, kMaxNotice, &to.notice_text); }},
    {"expiry_folder",
     [](Reader& r, const Node& n, Retention& to) {
       r.Text(n, "the name of a mailbox, such as \"Expired\"", &to.expiry_folder);
     }},
    {"expiry_days", [](Reader& r, const Node& n,
                       Retention& to) { r.Number(n, 1, kMaxRetention, &to.expiry_days); }},
};

void ReadRetention(Reader& r, const Node& n, Package& package) {
  if (!r.Table(n)) {
    return;
  }
  package.pop3_retention.emplace();
  package.lines[kKeyPop3Retention] = n.line;
  r.Fields<Retention>(n, kRetentionFields, *package.pop3_retention);
  if (ChildOf(n, "days") == nullptr) {
    r.Tell(n, "expected the key days in pop3_retention");
  }
}

constexpr Choice<DeleMeans> kDeleMeans[] = {
    {"delete", DeleMeans::kDelete}, {"hide", DeleMeans::kHide}, {"defer", DeleMeans::kDefer}};
constexpr PolicyField<Pop3Dele> kDeleFields[] = {
    {"means", [](Reader& r, const Node& n, Pop3Dele& to) { r.OneOf(n, kDeleMeans, &to.means); }},
    {"days",
     [](Reader& r, const Node& n, Pop3Dele& to) { r.Number(n, 1, kMaxRetention, &to.days); }},
    {"warn", [](Reader& r, const Node& n, Pop3Dele& to) { r.Boolean(n, &to.warn); }},
};

void ReadDele(Reader& r, const Node& n, Package& package) {
  if (r.Table(n)) {
    package.lines[kKeyPop3Dele] = n.line;
    r.Fields<Pop3Dele>(n, kDeleFields, package.pop3_dele);
  }
}

constexpr PolicyField<Package> kPackageFields[] = {
    {"limit",
     [](Reader& r, const Node& n, Package& p) { ReadLimit(r, n, p.limit, p.lines[kKeyLimit]); }},
    {"mailbox_limit",
     [](Reader& r, const Node& n, Package& p) {
       ReadLimit(r, n, p.mailbox_limit, p.lines[kKeyMailboxLimit]);
     }},
    {"message_limit",
     [](Reader& r, const Node& n, Package& p) {
       r.Count(n, &p.message_limit);
       p.lines[kKeyMessageLimit] = n.line;
     }},
    {"grace", [](Reader& r, const Node& n, Package& p) { r.Size(n, &p.grace); }},
    {"over_limit",
     [](Reader& r, const Node& n, Package& p) {
       r.OneOf(n, kOverLimit, &p.over_limit);
       p.lines[kKeyOverLimit] = n.line;
     }},
    {"hard_limit", [](Reader& r, const Node& n,
                      Package& p) { ReadLimit(r, n, p.hard_limit, p.lines[kKeyHardLimit]); }},
    {"overage", ReadOverage},
    {"enforce", [](Reader& r, const Node& n,
                   Package& p) { ReadEnforce(r, n, p.enforce, p.lines[kKeyEnforce]); }},
    AccessField<Package, kImap>(),
    AccessField<Package, kPop3>(),
    AccessField<Package, kManageSieve>(),
    AccessField<Package, kSubmission>(),
    AccessField<Package, kSmtp>(),
    {"pop3_retention", ReadRetention},
    {"pop3_dele", ReadDele},
    {"pop3_into_inbox",
     [](Reader& r, const Node& n, Package& p) {
       r.Boolean(n, &p.pop3_into_inbox);
       p.lines[kKeyPop3IntoInbox] = n.line;
     }},
    {"warn_percent",
     [](Reader& r, const Node& n, Package& p) {
       r.Percents(n, &p.warn_percent);
       p.lines[kKeyWarnPercent] = n.line;
     }},
    {"warn_days",
     [](Reader& r, const Node& n, Package& p) {
       r.NumberOrNone(n, kMaxWarnDays, &p.warn_days);
       p.lines[kKeyWarnDays] = n.line;
     }},
    {"warn_weekly_percent",
     [](Reader& r, const Node& n, Package& p) {
       r.NumberOrNone(n, kMaxWeeklyPercent, &p.warn_weekly_percent);
       p.lines[kKeyWarnWeeklyPercent] = n.line;
     }},
    {"warn_overage",
     [](Reader& r, const Node& n, Package& p) {
       r.Amount(n, &p.warn_overage.emplace());
       p.lines[kKeyWarnOverage] = n.line;
     }},
    WarnField<kWarnImap>(),
    WarnField<kWarnMail>(),
    WarnField<kWarnScript>(),
    WarnField<kWarnEvent>(),
    WarnField<kWarnLog>(),
    {"web_interval",
     [](Reader& r, const Node& n, Package& p) { r.Duration(n, kMinWebInterval, &p.web_interval); }},
};

// What a warning about the bill needs.
void CheckWarnings(Reader& r, const Node& n, const Package& package) {
  const Node* const warn = ChildOf(n, "warn_overage");
  if (warn != nullptr && !package.overage) {
    r.TellAtKey(*warn, "expected overage with warn_overage");
  }
  const Node* const days = ChildOf(n, "warn_days");
  if (days != nullptr && package.warn_days != 0 && package.limit == 0) {
    r.Warn(*days, "warn_days says nothing about accounts without a limit");
  }
}

// What over_limit, limit, hard_limit and overage have to do with each other.
void CheckOverLimit(Reader& r, const Node& n, const Package& package) {
  const Node* const over_limit = ChildOf(n, "over_limit");
  const Node* const hard_limit = ChildOf(n, "hard_limit");
  const Node* const overage = ChildOf(n, "overage");
  if (over_limit == nullptr || package.over_limit != OverLimit::kBill) {
    if (hard_limit != nullptr) {
      r.TellAtKey(*hard_limit, "expected hard_limit only with over_limit = \"bill\"");
    }
    if (overage != nullptr && package.over_limit == OverLimit::kRefuse) {
      r.Warn(*overage, "overage is not charged without over_limit = \"bill\"");
    }
    return;
  }
  if (hard_limit != nullptr && package.hard_limit != 0 && package.hard_limit < package.limit) {
    r.Tell(*hard_limit, "expected a hard_limit that is not below limit");
  }
  if (package.limit == 0) {
    r.TellAtKey(*over_limit, "expected a limit with over_limit = \"bill\"");
  }
  if (overage == nullptr) {
    r.Warn(*over_limit, "over_limit = \"bill\" without overage charges nothing");
  }
}

void ReadPackage(Reader& r, const Node& n, PolicyDraft& draft) {
  Package package;
  package.line = n.line;
  if (!r.Name(n, "a package", &package.name) || !r.Table(n)) {
    return;
  }
  r.Fields<Package>(n, kPackageFields, package);
  CheckOverLimit(r, n, package);
  CheckWarnings(r, n, package);
  draft.packages.push_back(&n);
  draft.policy.packages.push_back(std::move(package));
}

constexpr PolicyField<UserRule> kUserFields[] = {
    AccessField<UserRule, kImap>(),
    AccessField<UserRule, kPop3>(),
    AccessField<UserRule, kManageSieve>(),
    AccessField<UserRule, kSubmission>(),
    AccessField<UserRule, kSmtp>(),
    {"mailbox_limit",
     [](Reader& r, const Node& n, UserRule& u) {
       ReadLimit(r, n, u.mailbox_limit, u.lines[kKeyMailboxLimit]);
     }},
};

void ReadUserRules(Reader& r, const Node& n, Account& account) {
  if (!r.Table(n)) {
    return;
  }
  account.user_rules.reserve(n.children);
  for (const Node* user = n.first; user != nullptr; user = user->next) {
    UserRule rule;
    rule.line = user->line;
    if (r.Name(*user, "a mail user", &rule.user) && r.Table(*user)) {
      r.Fields<UserRule>(*user, kUserFields, rule);
      account.user_rules.push_back(std::move(rule));
    }
  }
  std::sort(account.user_rules.begin(), account.user_rules.end(),
            [](const UserRule& a, const UserRule& b) { return a.user < b.user; });
}

constexpr PolicyField<ExternalSource> kExternalFields[] = {
    {"stale_after",
     [](Reader& r, const Node& n, ExternalSource& to) { r.DurationOrNever(n, &to.stale_after); }},
};

void ReadExternal(Reader& r, const Node& n, Account& account) {
  if (!r.Table(n)) {
    return;
  }
  for (const Node* source = n.first; source != nullptr; source = source->next) {
    ExternalSource to;
    if (r.Name(*source, "an external source", &to.name) && r.Table(*source)) {
      r.Fields<ExternalSource>(*source, kExternalFields, to);
      account.external.push_back(std::move(to));
    }
  }
  std::sort(account.external.begin(), account.external.end(),
            [](const ExternalSource& a, const ExternalSource& b) { return a.name < b.name; });
}

constexpr std::string_view kPaths =
    "an array of absolute paths, such as [\"/srv/www/example.com\"]";

constexpr PolicyField<Account> kAccountFields[] = {
    {"package",
     [](Reader& r, const Node& n, Account& a) {
       r.Text(n, "the name of a package", &a.package);
       a.lines[kKeyPackage] = n.line;
     }},
    {"domains",
     [](Reader& r, const Node& n, Account& a) {
       r.List(n, "an array of mail domains, such as [\"example.com\"]", &Reader::Domain,
              &a.domains);
     }},
    {"users",
     [](Reader& r, const Node& n, Account& a) {
       r.List(n, "an array of mail users, such as [\"ann@example.com\"]", &Reader::UserName,
              &a.users);
     }},
    {"web_roots",
     [](Reader& r, const Node& n, Account& a) { r.List(n, kPaths, &Reader::Path, &a.web_roots); }},
    {"web_exclude", [](Reader& r, const Node& n,
                       Account& a) { r.List(n, kPaths, &Reader::Path, &a.web_exclude); }},
    {"external", ReadExternal},
    {"time_zone", [](Reader& r, const Node& n, Account& a) { r.TimeZone(n, &a.time_zone); }},
    {"uid",
     [](Reader& r, const Node& n, Account& a) {
       uint32_t uid = 0;
       if (r.Uid(n, &uid)) {
         a.uid = uid;
       }
     }},
    {"limit",
     [](Reader& r, const Node& n, Account& a) { ReadLimit(r, n, a.limit, a.lines[kKeyLimit]); }},
    {"extra_space",
     [](Reader& r, const Node& n, Account& a) {
       uint64_t bytes = 0;
       if (r.Size(n, &bytes)) {
         a.extra_space = bytes;
         a.lines[kKeyExtraSpace] = n.line;
       }
     }},
    {"mailbox_limit",
     [](Reader& r, const Node& n, Account& a) {
       ReadLimit(r, n, a.mailbox_limit, a.lines[kKeyMailboxLimit]);
     }},
    {"enforce", [](Reader& r, const Node& n,
                   Account& a) { ReadEnforce(r, n, a.enforce, a.lines[kKeyEnforce]); }},
    AccessField<Account, kImap>(),
    AccessField<Account, kPop3>(),
    AccessField<Account, kManageSieve>(),
    AccessField<Account, kSubmission>(),
    AccessField<Account, kSmtp>(),
    {"language", [](Reader& r, const Node& n, Account& a) { ReadLanguage(r, n, a.language); }},
    {"contact", [](Reader& r, const Node& n, Account& a) { ReadAddress(r, n, a.contact); }},
    {"user", ReadUserRules},
};

void ReadAccount(Reader& r, const Node& n, PolicyDraft& draft) {
  Account account;
  account.line = n.line;
  if (!r.Name(n, "an account", &account.name) || !r.Table(n)) {
    return;
  }
  r.Fields<Account>(n, kAccountFields, account);
  draft.accounts.push_back(&n);
  draft.policy.accounts.push_back(std::move(account));
}

constexpr Choice<bool> kUnavailable[] = {{"accept", false}, {"tempfail", true}};

constexpr PolicyField<ServiceOptions> kServiceFields[] = {
    {"mail_uids", [](Reader& r, const Node& n, ServiceOptions& s) { r.Uids(n, &s.mail_uids); }},
    {"admin_uids", [](Reader& r, const Node& n, ServiceOptions& s) { r.Uids(n, &s.admin_uids); }},
    {"web_uids", [](Reader& r, const Node& n, ServiceOptions& s) { r.Uids(n, &s.web_uids); }},
    {"recount_uids",
     [](Reader& r, const Node& n, ServiceOptions& s) { r.Uids(n, &s.recount_uids); }},
    {"mail_connections",
     [](Reader& r, const Node& n, ServiceOptions& s) {
       r.Number(n, 1, kMaxConnections, &s.mail_connections);
     }},
    {"other_connections",
     [](Reader& r, const Node& n, ServiceOptions& s) {
       r.Number(n, 1, kMaxConnections, &s.other_connections);
     }},
    {"enforce", [](Reader& r, const Node& n,
                   ServiceOptions& s) { ReadEnforce(r, n, s.enforce, s.enforce_line); }},
    {"unavailable", [](Reader& r, const Node& n,
                       ServiceOptions& s) { r.OneOf(n, kUnavailable, &s.unavailable_tempfail); }},
    {"over_limit_reply",
     [](Reader& r, const Node& n, ServiceOptions& s) {
       if (n.kind == Node::Kind::kInteger && (n.number == 452 || n.number == 552)) {
         s.over_limit_tempfail = n.number == 452;
       } else {
         r.Wrong(n, "552 or 452");
       }
     }},
    {"mail_stale_after",
     [](Reader& r, const Node& n, ServiceOptions& s) { r.Duration(n, 1, &s.mail_stale_after); }},
    {"recount_interval", [](Reader& r, const Node& n,
                            ServiceOptions& s) { r.DurationOrNever(n, &s.recount_interval); }},
    {"web_exclude", [](Reader& r, const Node& n,
                       ServiceOptions& s) { r.List(n, kPaths, &Reader::Path, &s.web_exclude); }},
};

constexpr PolicyField<PolicyDraft> kFileFields[] = {
    {"service",
     [](Reader& r, const Node& n, PolicyDraft& draft) {
       if (r.Table(n)) {
         r.Fields<ServiceOptions>(n, kServiceFields, draft.policy.service);
       }
     }},
    {"package",
     [](Reader& r, const Node& n, PolicyDraft& draft) {
       if (r.Table(n)) {
         for (const Node* each = n.first; each != nullptr; each = each->next) {
           ReadPackage(r, *each, draft);
         }
       }
     }},
    {"account",
     [](Reader& r, const Node& n, PolicyDraft& draft) {
       if (r.Table(n)) {
         draft.policy.accounts.reserve(n.children);
         draft.accounts.reserve(n.children);
         for (const Node* each = n.first; each != nullptr; each = each->next) {
           ReadAccount(r, *each, draft);
         }
       }
     }},
    {"protocols", [](Reader& r, const Node& n,
                     PolicyDraft& draft) { ReadProtocols(r, n, draft.policy.protocols); }},
    {"warnings", [](Reader& r, const Node& n,
                    PolicyDraft& draft) { ReadWarnings(r, n, draft.policy.warnings); }},
};

template <typename T, size_t N>
std::vector<std::string_view> NamesOf(const PolicyField<T> (&fields)[N]) {
  std::vector<std::string_view> names;
  for (const PolicyField<T>& field : fields) {
    names.push_back(field.name);
  }
  return names;
}

// Each is moved once: they are large.
template <typename T>
void SortByName(std::vector<T>& values) {
  const auto before = [](const T& a, const T& b) { return a.name < b.name; };
  if (std::is_sorted(values.begin(), values.end(), before)) {
    return;
  }
  std::vector<T*> order;
  order.reserve(values.size());
  for (T& value : values) {
    order.push_back(&value);
  }
  std::sort(order.begin(), order.end(), [&](const T* a, const T* b) { return before(*a, *b); });
  std::vector<T> sorted;
  sorted.reserve(values.size());
  for (T* const value : order) {
    sorted.push_back(std::move(*value));
  }
  values = std::move(sorted);
}

}  // namespace

ParsedPolicy ParsePolicy(std::string_view text, const PolicyNames& names) {
  ParsedPolicy parsed;
  if (text.size() > kMaxPolicyFile) {
    parsed.problems.push_back(
        {0, 0, "expected a file of at most " + std::to_string(kMaxPolicyFile >> 20) + " MiB"});
    return parsed;
  }
  Problems problems(text);
  Problems warnings(text);
  const TomlDocument document(text, problems);
  PolicyReader reader(names, problems, warnings);
  PolicyDraft draft;
  reader.Fields<PolicyDraft>(document.root(), kFileFields, draft);
  CheckPolicy(draft, reader);
  SortByName(draft.policy.packages);
  SortByName(draft.policy.accounts);
  parsed.policy = std::move(draft.policy);
  parsed.problems = problems.Take();
  parsed.warnings = warnings.Take();
  return parsed;
}

std::string FormatProblem(std::string_view path, const Problem& problem) {
  std::string text(path);
  if (problem.line != 0) {
    text += ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column);
  }
  return text + ": " + problem.text;
}

std::vector<std::string_view> PolicyKeys(std::string_view table) {
  return table == "service"                                             ? NamesOf(kServiceFields)
         : table == "package"                                           ? NamesOf(kPackageFields)
         : table == "overage"                                           ? NamesOf(kOverageFields)
         : table == "pop3_retention"                                    ? NamesOf(kRetentionFields)
         : table == "pop3_dele"                                         ? NamesOf(kDeleFields)
         : table == "account"                                           ? NamesOf(kAccountFields)
         : table == "external"                                          ? NamesOf(kExternalFields)
         : table == "user"                                              ? NamesOf(kUserFields)
         : table == "protocols" || table == "text" || table == "access" ? ProtocolKeys(table)
         : table == "warnings" || table == "warnings.text"              ? WarningKeys(table)
                                                                        : NamesOf(kFileFields);
}

}  // namespace hosting

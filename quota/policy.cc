#include "quota/policy.h"

#include <algorithm>

#include "quota/policy_text.h"

namespace hosting {
namespace {

template <typename Map>
auto Find(const Map& map, std::string_view name) -> typename Map::mapped_type {
  const auto found = map.find(name);
  return found == map.end() ? nullptr : found->second;
}

const UserRule* FindRule(const Account& account, std::string_view user) {
  const auto found = std::find_if(account.user_rules.begin(), account.user_rules.end(),
                                  [&](const UserRule& rule) { return rule.user == user; });
  return found == account.user_rules.end() ? nullptr : &*found;
}

void DecideLimit(const UserdbFields& fields, Effective& effective) {
  const Package& package = *effective.package;
  const Account* const account = effective.account;
  effective.limit = package.limit;
  effective.limit_by = {package.lines[kKeyLimit] != 0 ? Decider::kPackage : Decider::kDefault,
                        package.lines[kKeyLimit]};
  if (account != nullptr && account->limit) {
    effective.limit = *account->limit;
    effective.limit_by = {Decider::kAccount, account->lines[kKeyLimit]};
  }
  if (fields.extra_space) {
    effective.extra_space = *fields.extra_space;
    effective.extra_space_by = {Decider::kUserdb, 0};
  } else if (account != nullptr && account->extra_space) {
    effective.extra_space = *account->extra_space;
    effective.extra_space_by = {Decider::kAccount, account->lines[kKeyExtraSpace]};
  }
  if (effective.limit == 0) {
    effective.extra_space = 0;
    return;  // none, and nothing on top of that
  }
  if (__builtin_add_overflow(effective.limit, effective.extra_space, &effective.limit)) {
    effective.limit = UINT64_MAX;
  }
  effective.hard_limit = effective.limit;
  if (effective.over_limit == OverLimit::kBill) {
    // The room that the package leaves above its limit stays the same.
    const uint64_t room =
        package.hard_limit > package.limit ? package.hard_limit - package.limit : 0;
    if (package.hard_limit == 0) {
      effective.hard_limit = 0;
    } else if (__builtin_add_overflow(effective.limit, room, &effective.hard_limit)) {
      effective.hard_limit = UINT64_MAX;
    }
  }
}

void DecideMailboxLimit(const UserdbFields& fields, Effective& effective) {
  const Package& package = *effective.package;
  const Account* const account = effective.account;
  if (fields.mailbox_limit) {
    effective.mailbox_limit = *fields.mailbox_limit;
    effective.mailbox_limit_by = {Decider::kUserdb, 0};
  } else if (effective.user_rule != nullptr && effective.user_rule->mailbox_limit) {
    effective.mailbox_limit = *effective.user_rule->mailbox_limit;
    effective.mailbox_limit_by = {Decider::kUserRule, effective.user_rule->lines[kKeyMailboxLimit]};
  } else if (account != nullptr && account->mailbox_limit) {
    effective.mailbox_limit = *account->mailbox_limit;
    effective.mailbox_limit_by = {Decider::kAccount, account->lines[kKeyMailboxLimit]};
  } else {
    effective.mailbox_limit = package.mailbox_limit;
    const Line line = package.lines[kKeyMailboxLimit];
    effective.mailbox_limit_by = {line != 0 ? Decider::kPackage : Decider::kDefault, line};
  }
}

void DecideEnforce(const ServiceOptions& service, Effective& effective) {
  const Package& package = *effective.package;
  const Account* const account = effective.account;
  if (!service.enforce) {
    effective.enforce = false;
    effective.enforce_by = {Decider::kService, service.enforce_line};
  } else if (account != nullptr && account->enforce) {
    effective.enforce = *account->enforce;
    effective.enforce_by = {Decider::kAccount, account->lines[kKeyEnforce]};
  } else {
    effective.enforce = package.enforce;
    const Line line = package.lines[kKeyEnforce];
    effective.enforce_by = {line != 0 ? Decider::kPackage : Decider::kDefault, line};
  }
}

}  // namespace

PolicyIndex::PolicyIndex(const Policy& policy) : policy_(policy) {
  for (const Package& package : policy.packages) {
    packages_.emplace(package.name, &package);
  }
  accounts_.reserve(policy.accounts.size());
  domains_.reserve(policy.accounts.size());
  for (const Account& account : policy.accounts) {
    accounts_.emplace(account.name, &account);
    for (const std::string& user : account.users) {
      users_.emplace(user, &account);
    }
    for (const std::string& domain : account.domains) {
      domains_.emplace(domain, &account);
    }
  }
}

const Package* PolicyIndex::FindPackage(std::string_view name) const {
  return Find(packages_, name);
}

const Account* PolicyIndex::FindAccount(std::string_view name) const {
  return Find(accounts_, name);
}

const Account* PolicyIndex::AccountOfUser(std::string_view user) const {
  if (const Account* const account = Find(users_, user)) {
    return account;
  }
  const size_t at = user.rfind('@');
  return at == std::string_view::npos ? nullptr : Find(domains_, LowerCase(user.substr(at + 1)));
}

std::optional<Effective> PolicyIndex::EffectiveOf(std::string_view user, const UserdbFields& fields,
                                                  std::string* problem) const {
  Effective effective;
  effective.account = fields.account.empty() ? AccountOfUser(user) : FindAccount(fields.account);
  if (effective.account == nullptr && fields.account.empty()) {
    return std::nullopt;
  }
  effective.account_name = effective.account != nullptr ? effective.account->name : fields.account;
  std::string wrong;
  if (!fields.package.empty()) {
    effective.package = FindPackage(fields.package);
    effective.package_by = {Decider::kUserdb, 0};
    if (effective.package == nullptr) {
      wrong = "userdb field hosting_package names \"" + fields.package +
              "\", which the policy does not have";
    }
  }
  if (effective.package == nullptr && effective.account != nullptr) {
    effective.package = FindPackage(effective.account->package);
    effective.package_by = {Decider::kAccount, effective.account->lines[kKeyPackage]};
  }
  if (effective.package == nullptr && wrong.empty()) {
    wrong = "userdb field hosting_account names \"" + fields.account +
            "\", which the policy does not have, and there is no field hosting_package";
  }
  if (problem != nullptr) {
    *problem = wrong;
  }
  if (effective.package == nullptr) {
    return std::nullopt;
  }
  if (effective.account != nullptr && !user.empty()) {
    effective.user_rule = FindRule(*effective.account, user);
  }
  effective.over_limit = effective.package->over_limit;
  effective.message_limit = effective.package->message_limit;
  effective.grace = effective.package->grace;
  DecideLimit(fields, effective);
  DecideMailboxLimit(fields, effective);
  DecideEnforce(policy_.service, effective);
  return effective;
}

AccessDecision PolicyIndex::AccessOf(const Effective& effective, Protocol protocol) {
  const auto decided = [&](const AccessRule& rule, Decider decider) {
    return AccessDecision{*rule.access, {decider, rule.line}};
  };
  if (effective.user_rule != nullptr && effective.user_rule->access[protocol].access) {
    return decided(effective.user_rule->access[protocol], Decider::kUserRule);
  }
  if (effective.account != nullptr && effective.account->access[protocol].access) {
    return decided(effective.account->access[protocol], Decider::kAccount);
  }
  if (effective.package->access[protocol].access) {
    return decided(effective.package->access[protocol], Decider::kPackage);
  }
  return {};
}

const char* NameOf(OverLimit value) {
  switch (value) {
    case OverLimit::kBill:
      return "bill";
    case OverLimit::kReport:
      return "report";
    default:
      return "refuse";
  }
}

const char* NameOf(Access value) {
  switch (value) {
    case Access::kWarn:
      return "warn";
    case Access::kDeny:
      return "deny";
    default:
      return "allow";
  }
}

const char* NameOf(Basis value) {
  switch (value) {
    case Basis::kAverage:
      return "average";
    case Basis::kEnd:
      return "end";
    default:
      return "peak";
  }
}

const char* NameOf(Rounding value) {
  switch (value) {
    case Rounding::kNearest:
      return "nearest";
    case Rounding::kDown:
      return "down";
    default:
      return "up";
  }
}

}  // namespace hosting

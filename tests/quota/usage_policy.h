// A policy made in code, for tests of the usage service.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "quota/usage_accounts.h"

namespace hosting {

constexpr uint32_t kMailUid = 7001, kAdminUid = 7002, kWebUid = 7003, kRecountUid = 7004;
constexpr uint32_t kCustomerUid = 7100;  // the system user of own.test
constexpr uint64_t kGold = 10ULL << 30;  // bytes: the limit of package gold

// Package gold (10 GiB, mailbox 2 GiB) and bill; accounts a0 to a<n-1> with domain a<i>.test; own
// (own.test, uid kCustomerUid); web (web.test, two roots, external source db); billed.
inline Policy TestPolicy(int accounts = 4) {
  Policy policy;
  policy.service.mail_uids = {kMailUid};
  policy.service.admin_uids = {kAdminUid};
  policy.service.web_uids = {kWebUid};
  policy.service.recount_uids = {kRecountUid};
  Package bill;
  bill.name = "bill";
  bill.limit = kGold;
  bill.hard_limit = 12ULL << 30;
  bill.over_limit = OverLimit::kBill;
  bill.overage.emplace();
  bill.overage->price = *Money::Parse("20.00");
  bill.overage->currency = "ZAR";
  Package gold;
  gold.name = "gold";
  gold.limit = kGold;
  gold.mailbox_limit = 2ULL << 30;
  gold.grace = 1000;
  gold.web_interval = 600;
  policy.packages = {bill, gold};
  const auto add = [&](const std::string& name, const std::string& package) -> Account& {
    Account account;
    account.name = name;
    account.package = package;
    account.domains = {name + ".test"};
    policy.accounts.push_back(account);
    return policy.accounts.back();
  };
  for (int i = 0; i < accounts; ++i) {
    add("a" + std::to_string(i), "gold");
  }
  add("billed", "bill");
  add("own", "gold").uid = kCustomerUid;
  Account& web = add("web", "gold");
  web.web_roots = {"/srv/www/one", "/srv/www/two"};
  web.external = {{"db", 3600}};
  std::sort(policy.accounts.begin(), policy.accounts.end(),
            [](const Account& x, const Account& y) { return x.name < y.name; });
  return policy;
}

inline std::shared_ptr<const LoadedPolicy> Loaded(Policy policy) {
  PolicySnapshot snapshot;
  snapshot.policy = std::move(policy);
  return std::make_shared<const LoadedPolicy>(std::move(snapshot));
}

}  // namespace hosting

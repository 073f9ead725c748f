// UsageAccounts: what holds for each account now, and the pages that show it.
//
// Purpose: puts policy, userdb overrides and ledger together into AccountFigures, and writes them
// to the account's page whenever one of them changes. Ownership: of UsageService; owns the pages of
// accounts with sessions. Process rules: one thread. Failure modes: Status of the ledger or of
// making a page. Crash rule: overrides are values of the ledger; pages are made anew.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "quota/ledger.h"
#include "quota/policy.h"
#include "quota/policy_source.h"
#include "quota/usage_pages.h"

namespace hosting {

class UsageAccounts {
 public:
  UsageAccounts(Ledger& ledger, std::shared_ptr<const LoadedPolicy> policy)
      : ledger_(ledger), policy_(std::move(policy)) {}

  [[nodiscard]] const Policy& policy() const { return policy_->snapshot.policy; }
  [[nodiscard]] const PolicyIndex& index() const { return policy_->index; }
  // Another policy; all pages follow.
  Status SetPolicy(std::shared_ptr<const LoadedPolicy> policy);

  // The latest userdb fields of an account, as a trusted session brought them.
  Status TakeFields(const std::string& account, const UserdbFields& fields);
  // With the account's name in them.
  Result<UserdbFields> Fields(std::string_view account);
  // For the account as a whole; none when no package is known.
  Result<std::optional<Effective>> EffectiveOf(std::string_view account);
  Result<AccountFigures> Figures(const std::string& account);

  // The page of an account with one session more; its descriptor is good until Release.
  Result<int> Acquire(const std::string& account);
  void Release(const std::string& account);
  // After a change of the account's rows or fields.
  Status Refresh(const std::string& account);
  // Called by each Refresh.
  void OnChange(std::function<void(const std::string& account)> changed) {
    changed_ = std::move(changed);
  }
  [[nodiscard]] size_t pages() const { return pages_.size(); }

 private:
  struct Shown {
    SharedPage page;
    uint32_t sessions = 0;
  };

  Result<int64_t> OldestWeb(const Account& account);

  Ledger& ledger_;
  std::shared_ptr<const LoadedPolicy> policy_;
  std::map<std::string, Shown> pages_;
  std::function<void(const std::string&)> changed_;
};

}  // namespace hosting

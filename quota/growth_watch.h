// GrowthWatch: hosting-usage's part of growth: keeps the history, finds out which warnings are due,
// answers what operators ask.
//
// Purpose: an hourly record and look at each account, and a look within seconds when its figures
// have changed, by whatever source. Ownership: of UsageService; owns the history. Process rules:
// one thread; clocks are passed in; a bounded number of accounts a tick. Failure modes: Status of
// the ledger; what fails for one account is logged and tried again at its next look.
// Crash rule: growth_warning.h's; history is growth_history.h's.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "quota/growth_history.h"
#include "quota/growth_warning.h"
#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "quota/usage_log.h"

namespace hosting {

namespace wire {
class AdminResult;
class GrowthAccount;
class GrowthQuery;
}  // namespace wire

// Where the ledger keeps an account's GrowthState, and its last warnings (wire::GrowthWarning).
std::string GrowthStateKey(const std::string& account);
std::string GrowthWarningPrefix(const std::string& account);

class GrowthWatch {
 public:
  // folder: of the history. ways: nobody is told when there is none.
  GrowthWatch(Ledger& ledger, UsageAccounts& accounts, const std::string& folder, UsageLog log,
              GrowthWays* ways)
      : ledger_(ledger),
        accounts_(accounts),
        history_(folder, log),
        log_(std::move(log)),
        ways_(ways) {}

  void Start(int64_t now) { history_.Load(now); }
  // Once an hour for each account (billing.h).
  Status Hour(const std::string& account, int64_t now);
  // Figures of the account have changed.
  void Changed(const std::string& account) { changed_.insert(account); }
  // Once a second. now: Unix seconds.
  void Tick(int64_t now, int64_t boot_ms);

  // none: no package is known.
  Result<std::optional<GrowthOutlook>> Outlook(const std::string& account, int64_t now);
  Status Answer(const wire::GrowthQuery& query, int64_t now, wire::AdminResult& result);

 private:
  Status Look(const std::string& account, int64_t now);
  Result<GrowthOutlook> OutlookOfAccount(const std::string& account, const AccountTotals& totals,
                                         const Effective& effective, int64_t now);
  Status Give(const GrowthWarning& warning);
  Status FillAccount(const std::string& account, int64_t now, wire::GrowthAccount& to);
  Status AnswerAll(const wire::GrowthQuery& query, int64_t now, wire::AdminResult& result);
  Status AnswerWarnings(const wire::GrowthQuery& query, wire::AdminResult& result);
  Status AnswerHistory(const wire::GrowthQuery& query, wire::AdminResult& result);
  void Failed(const std::string& account, const Status& status, int64_t boot_ms);

  Ledger& ledger_;
  UsageAccounts& accounts_;
  GrowthHistory history_;
  UsageLog log_;
  GrowthWays* ways_;
  std::set<std::string> changed_;
  std::string looked_at_;  // the last of them that was looked at, so that all have their turn
  int64_t failure_logged_ms_ = 0;
  bool failed_ = false;
};

}  // namespace hosting

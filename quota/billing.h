// Billing: hourly samples of all accounts, and an invoice row for each account and month.
//
// Purpose: `doveadm hosting invoice`. A month's row can be asked for at any time; once the month is
// over where the account is, it is computed once more, kept, and never changed again. Ownership: of
// UsageService. Process rules: a bounded part of the accounts a call; clocks are passed in. Failure
// modes: Status of the ledger. A clock that jumps by more than an hour is not believed for ten
// minutes, so that a wrong date which is soon corrected makes no samples and closes no month.
// Crash rule: billing_days.h's for samples; a row that was made final is in the ledger with the
// note that its month is closed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "quota/usage_log.h"

namespace hosting {

namespace wire {
class AdminResult;
class Invoice;
class InvoiceQuery;
}  // namespace wire

class Billing {
 public:
  // Called for each account once an hour.
  using Hourly = std::function<Status(const std::string& account)>;

  Billing(Ledger& ledger, UsageAccounts& accounts, UsageLog log, Hourly hourly = {})
      : ledger_(ledger), accounts_(accounts), log_(std::move(log)), hourly_(std::move(hourly)) {}

  // Once a second. now: Unix seconds; boot_ms: of a clock that is never set.
  Status Tick(int64_t now, int64_t boot_ms);
  Status Answer(const wire::InvoiceQuery& query, int64_t now, wire::AdminResult& result);

 private:
  [[nodiscard]] bool Believe(int64_t now, int64_t boot_ms);
  Result<int64_t> DoneHour();
  Status Sample(const std::string& account, const AccountTotals& totals, int64_t hour);
  Status CloseMonths(const std::string& account, const std::string& current_month);
  // The row as it is kept, or else computed; none without any sample.
  Result<std::optional<wire::Invoice>> InvoiceOf(const std::string& account,
                                                 const std::string& month);
  Result<std::string> ZoneOf(const std::string& account);

  Ledger& ledger_;
  UsageAccounts& accounts_;
  UsageLog log_;
  Hourly hourly_;
  std::optional<int64_t> done_hour_;  // the last one that all accounts were sampled in
  std::string cursor_;                // the last account of this hour's pass
  int64_t pass_hour_ = 0;
  int64_t last_now_ = 0, last_boot_ms_ = 0, doubt_until_ms_ = 0;
};

}  // namespace hosting

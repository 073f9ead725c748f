// A growth warning that is due, and who takes it on.
//
// Purpose: what the rules (growth_rules.h) hand to the ways out: IMAP's ALERT, mail, script,
// events, log. Ownership: values. Process rules: made and delivered in hosting-usage, one thread.
// Failure modes: a Status from Deliver leaves the rule as if it had not fired; it is tried at the
// next pass, with the same number. Crash rule: the note that a rule has fired and what Deliver puts
// into the ledger are of one batch: both are in effect after a kill or neither. So Deliver only
// puts the warning into the ledger's queue; what leaves the process does so later, from there,
// after Ledger::Save.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "quota/billing_calendar.h"
#include "quota/money.h"
#include "quota/status.h"

namespace hosting {

enum class GrowthRule : uint8_t {
  kPercent = 1,       // so many percent of the limit are used
  kDaysToFull = 2,    // the limit is expected to be reached within so many days
  kWeeklyGrowth = 3,  // the account grew by more than so many percent in seven days
  kOveragePrice = 4,  // this month's overage is expected to cost so much
};

enum class GrowthLevel : uint8_t {
  kNotice = 1,   // nothing has to be done yet
  kWarning = 2,  // full or charged soon
  kFull = 3,     // the limit is reached
};

struct GrowthWarning {
  std::string account, package;
  // Of the account's warnings, from 1, never given twice: with the account's name it names this one
  // for ever (for a Message-ID, say).
  uint64_t number = 0;
  GrowthRule rule = GrowthRule::kPercent;
  uint32_t threshold = 0;  // percent, days, percent a week; 0 with kOveragePrice
  Money price_threshold;   // with kOveragePrice, in `currency`
  GrowthLevel level = GrowthLevel::kNotice;
  int64_t at = 0;  // Unix seconds of the figures

  uint64_t mail = 0, web = 0, external = 0;  // bytes in use
  uint64_t limit = 0;                        // bytes, extra space included; 0: none
  uint32_t percent = 0;                      // of the limit in use, rounded down; 0 without a limit
  int64_t growth_a_day = 0;                  // bytes, of the forecast; may be negative
  // The day, where the account is, on which the limit is reached, or was: today when it is; none:
  // not within a year.
  std::optional<CalendarDay> full_on;
  uint32_t days_to_full = 0;  // with full_on; 0: today or already

  uint64_t overage = 0;  // bytes above the limit that this billing month is expected to end with
  Money price;           // what they will cost
  std::string currency;  // ISO 4217; empty: the package charges nothing
  // Percent of the mail that came in the last 28 days that is still there; none: none came.
  std::optional<uint32_t> kept_percent;

  friend bool operator==(const GrowthWarning&, const GrowthWarning&) = default;
};

class GrowthWays {
 public:
  virtual ~GrowthWays() = default;
  // Called in the pass that finds the warning due, never twice for one that it answered ok. It must
  // do no harm when it is called again with the same account and number after a failure.
  virtual Status Deliver(const GrowthWarning& warning) = 0;
};

}  // namespace hosting

// How fast an account grows, and what that leads to (docs/growth.md, "Method").
//
// Purpose: growth a day, robust against single jumps and clean-ups; when a limit is reached; what
// the billing month is expected to cost. Ownership: values. Process and crash rules: none; time is
// passed in. Failure modes: kInvalid for a price that no Money can hold.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quota/billing_days.h"
#include "quota/ledger.h"
#include "quota/policy.h"

namespace hosting {

constexpr int kForecastDays = 42;        // that are looked at
constexpr int kForecastHalfLife = 14;    // days after which one counts half
constexpr int kFewestForecastDays = 7;   // fewer say nothing
constexpr int kFarthestFullDays = 365;   // beyond, a limit counts as never reached
constexpr int64_t kSecondsADay = 86400;  // of UTC days, which history is kept by

// What was in use at the end of a day.
struct GrowthPoint {
  int32_t day = 0;  // since 1970-01-01, UTC
  uint64_t bytes = 0;
};

class GrowthRate {
 public:
  GrowthRate() = default;  // not known
  // Ascending by day; where days are missing, what came in between is spread over them.
  static GrowthRate Of(std::span<const GrowthPoint> points);

  // From at least kFewestForecastDays days; else everything below is 0 or none.
  [[nodiscard]] bool known() const { return known_; }
  // Bytes; may be negative.
  [[nodiscard]] double a_day() const { return a_day_; }
  // Bytes that are expected to come between two instants, `from` not after `to` (Unix seconds).
  [[nodiscard]] double Between(int64_t from, int64_t to) const;
  // Unix seconds; `now` when bytes is there already; none: not within kFarthestFullDays.
  [[nodiscard]] std::optional<int64_t> Reaches(uint64_t limit, int64_t now, uint64_t bytes) const;

 private:
  [[nodiscard]] double OnDay(int64_t day) const;

  bool known_ = false;
  double a_day_ = 0;
  std::array<double, 7> weekday_{};  // bytes that day; by days since 1970-01-01 modulo 7
};

// Of an account at an instant.
struct GrowthOutlook {
  int64_t at = 0;                            // Unix seconds
  uint64_t mail = 0, web = 0, external = 0;  // bytes in use
  uint64_t limit = 0;                        // bytes; 0: none
  uint32_t percent = 0;                      // of the limit, rounded down; 0 without one
  bool known = false;                        // whether there is a growth to speak of
  int64_t growth_a_day = 0;                  // bytes
  std::optional<uint64_t> week_ago;          // bytes in use then; none: before history began
  std::optional<CalendarDay> full_on;        // where the account is
  uint32_t days_to_full = 0;                 // calendar days from today; with full_on
  std::string month;                         // YYYY-MM, that is billed now
  uint64_t overage = 0;                      // bytes, expected of that month
  Money price;
  std::string currency;  // empty: nothing is charged
  std::optional<uint32_t> kept_percent;

  [[nodiscard]] uint64_t used() const { return mail + web + external; }
};

// The account's figures, limit and growth; not what is billed, nor kept_percent.
GrowthOutlook OutlookOf(const AccountTotals& totals, uint64_t limit, const TimeZone& zone,
                        std::span<const GrowthPoint> points, int64_t now);

// Sets what the month of outlook.at is expected to cost by the package's overage. days: of that
// month so far (billing_days.h).
Status AddExpectedPrice(const Overage& overage, std::vector<BillingDay> days, const TimeZone& zone,
                        const GrowthRate& rate, GrowthOutlook& outlook);

// Calendar days from one to the other.
int64_t DaysBetween(const CalendarDay& from, const CalendarDay& to);

}  // namespace hosting

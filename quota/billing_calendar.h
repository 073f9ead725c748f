// Days and months of a time zone.
//
// Purpose: which calendar day an instant falls on where an account is, daylight saving time
// included. Ownership: zones are the date library's, for as long as the process lives. Process
// rules: reads the system's zoneinfo on first use. Failure modes: a zone that the system does not
// have counts as UTC (the policy refuses such a name). Crash rule: none.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace date {
class time_zone;
}

namespace hosting {

struct CalendarDay {
  int year = 1970;
  unsigned month = 1, day = 1;

  [[nodiscard]] std::string Text() const;   // 2026-11-22
  [[nodiscard]] std::string Month() const;  // 2026-11
  friend auto operator<=>(const CalendarDay&, const CalendarDay&) = default;
};

class TimeZone {
 public:
  static TimeZone Of(const std::string& name);

  // Of Unix seconds.
  [[nodiscard]] CalendarDay DayOf(int64_t at) const;
  // Unix seconds of the first instant of the day after that of `at`.
  [[nodiscard]] int64_t NextDay(int64_t at) const;

 private:
  explicit TimeZone(const date::time_zone* zone) : zone_(zone) {}
  const date::time_zone* zone_;  // nullptr: UTC
};

}  // namespace hosting

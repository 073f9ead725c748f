#include "quota/billing_calendar.h"

#include <chrono>
#include <cstdio>
#include <exception>

#include <date/date.h>
#include <date/tz.h>

namespace hosting {
namespace {

using std::chrono::seconds;

CalendarDay ToDay(date::local_days days) {
  const date::year_month_day day(days);
  return {static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
          static_cast<unsigned>(day.day())};
}

}  // namespace

std::string CalendarDay::Text() const {
  char text[40];
  (void)snprintf(text, sizeof text, "%04d-%02u-%02u", year, month, day);
  return text;
}

std::string CalendarDay::Month() const {
  return Text().substr(0, 7);
}

TimeZone TimeZone::Of(const std::string& name) {
  if (name == "UTC") {
    return TimeZone(nullptr);
  }
  try {
    return TimeZone(date::locate_zone(name));
  } catch (const std::exception&) {
    return TimeZone(nullptr);
  }
}

CalendarDay TimeZone::DayOf(int64_t at) const {
  const date::sys_seconds instant{seconds(at)};
  if (zone_ == nullptr) {
    return ToDay(date::local_days(date::floor<date::days>(instant).time_since_epoch()));
  }
  return ToDay(date::floor<date::days>(zone_->to_local(instant)));
}

int64_t TimeZone::NextDay(int64_t at) const {
  const date::sys_seconds instant{seconds(at)};
  if (zone_ == nullptr) {
    return (date::floor<date::days>(instant) + date::days(1)).time_since_epoch() / seconds(1);
  }
  const date::local_days next = date::floor<date::days>(zone_->to_local(instant)) + date::days(1);
  const auto start = zone_->to_sys(date::local_seconds(next), date::choose::earliest);
  const int64_t when = start.time_since_epoch() / seconds(1);
  // Midnight may come twice (clocks set back over it): never a day that does not go on.
  return when > at
             ? when
             : zone_->to_sys(date::local_seconds(next), date::choose::latest).time_since_epoch() /
                   seconds(1);
}

}  // namespace hosting

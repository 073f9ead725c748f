// How well growth is foretold: days of notice, false alarms, error of the forecast.
//
// Purpose: one forecast after the other, each tried on the same histories day by day, with the
// rule warn_days = 14 as hosting-usage applies it. Ownership: values.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tests/quota/growth_series.h"

namespace hosting {

constexpr uint32_t kWarnDays = 14;
constexpr int kTrueDays = 28;  // an alarm is true when the account is full so many days later

struct Forecaster {
  std::string name;
  // Growth a day in bytes; the last point is of yesterday's end.
  double (*a_day)(std::span<const GrowthPoint> points);
};

// growth_forecast.h's own.
Forecaster OwnForecaster();
// Straight line through the last 30 days; last week's growth.
std::vector<Forecaster> Rivals();
// Methods that were tried: median of all slopes of 42 days (Theil and Sen), median of the growth of
// all weeks in 35 days, mean of 28 days without regard to single days, mean of 42 days that are
// clipped at 3 times their median absolute deviation.
std::vector<Forecaster> Alternatives();
// Says half of what there is to say: a control.
Forecaster BadForecaster();

struct GrowthScore {
  int fills = 0, missed = 0;  // a limit was reached; of these, without an alarm the day before
  std::vector<int> notice;    // days from alarm to limit, of those with one
  int false_alarms = 0;
  double years = 0;           // of accounts
  std::vector<double> error;  // of what was foretold for 14 days later, in percent of the limit

  [[nodiscard]] double MissedPercent() const;
  [[nodiscard]] int Notice(int percentile) const;  // days
  [[nodiscard]] double FalseAlarmsAYear() const;
  [[nodiscard]] double MeanError() const;
};

// Adds a history. The limit is raised by half whenever it is reached, as by an upgrade.
void Score(const GrowthSeries& series, const Forecaster& forecaster, GrowthScore& score);

}  // namespace hosting

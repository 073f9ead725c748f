#include "tests/quota/growth_score.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quota/growth_rules.h"

namespace hosting {
namespace {

constexpr size_t kFewestPoints = 15;
constexpr int kAhead = 14;  // days

std::span<const GrowthPoint> Last(std::span<const GrowthPoint> points, size_t number) {
  return points.last(std::min(points.size(), number));
}

double Median(std::vector<double> values) {
  if (values.empty()) {
    return 0;
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Slope(const GrowthPoint& from, const GrowthPoint& to) {
  return (static_cast<double>(to.bytes) - static_cast<double>(from.bytes)) / (to.day - from.day);
}

std::vector<double> Days(std::span<const GrowthPoint> points, size_t number) {
  points = Last(points, number + 1);
  std::vector<double> days;
  for (size_t i = 1; i < points.size(); ++i) {
    days.push_back(Slope(points[i - 1], points[i]));
  }
  return days;
}

double WeightedMean(const std::vector<double>& days, double half_life) {
  double sum = 0, weights = 0, weight = 1;
  for (auto day = days.rbegin(); day != days.rend(); ++day, weight *= std::exp2(-1 / half_life)) {
    sum += weight * *day;
    weights += weight;
  }
  return weights > 0 ? sum / weights : 0;
}

double Own(std::span<const GrowthPoint> points) {
  return GrowthRate::Of(points).a_day();
}

double Line30(std::span<const GrowthPoint> points) {
  points = Last(points, 31);
  double x = 0, y = 0, xx = 0, xy = 0;
  for (const GrowthPoint& point : points) {
    const double day = point.day - points.back().day;
    const auto bytes = static_cast<double>(point.bytes);
    x += day;
    y += bytes;
    xx += day * day;
    xy += day * bytes;
  }
  const auto n = static_cast<double>(points.size());
  return (n * xy - x * y) / (n * xx - x * x);
}

double LastWeek(std::span<const GrowthPoint> points) {
  return Slope(points[points.size() - 8], points.back());
}

double TheilSen(std::span<const GrowthPoint> points) {
  points = Last(points, 43);
  std::vector<double> slopes;
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t j = i + 1; j < points.size(); ++j) {
      slopes.push_back(Slope(points[i], points[j]));
    }
  }
  return Median(slopes);
}

double MedianWeek(std::span<const GrowthPoint> points) {
  points = Last(points, 36);
  std::vector<double> weeks;
  for (size_t i = 7; i < points.size(); ++i) {
    weeks.push_back(Slope(points[i - 7], points[i]));
  }
  return Median(weeks);
}

double Mean28(std::span<const GrowthPoint> points) {
  return WeightedMean(Days(points, 28), 14);
}

double Clipped42(std::span<const GrowthPoint> points) {
  std::vector<double> days = Days(points, 42);
  const double middle = Median(days);
  std::vector<double> off;
  double absolute = 0;
  for (const double day : days) {
    off.push_back(std::abs(day - middle));
    absolute += std::abs(day) / static_cast<double>(days.size());
  }
  const double bound = 3 * std::max(1.4826 * Median(off), 0.3 * absolute);
  for (double& day : days) {
    day = std::clamp(day, middle - bound, middle + bound);
  }
  return WeightedMean(days, 21);
}

double Half(std::span<const GrowthPoint> points) {
  return Own(points) / 2;
}

std::optional<uint32_t> DaysToFull(double a_day, uint64_t bytes, uint64_t limit) {
  const double days = static_cast<double>(limit - bytes) / a_day;
  return a_day > 0 && days <= kFarthestFullDays ? std::optional(static_cast<uint32_t>(days))
                                                : std::nullopt;
}

}  // namespace

Forecaster OwnForecaster() {
  return {"this forecast", Own};
}

std::vector<Forecaster> Rivals() {
  return {{"line through 30 days", Line30}, {"last week", LastWeek}};
}

std::vector<Forecaster> Alternatives() {
  return {{"Theil-Sen, 42 days", TheilSen},
          {"median week of 35 days", MedianWeek},
          {"mean of 28 days", Mean28},
          {"clipped at 3 MAD, 42 days", Clipped42}};
}

Forecaster BadForecaster() {
  return {"half of it (control)", Half};
}

void Score(const GrowthSeries& series, const Forecaster& forecaster, GrowthScore& score) {
  Package package;
  package.warn_percent = {};
  package.warn_days = kWarnDays;
  GrowthState state;
  std::vector<int> alarms, fills;
  uint64_t limit = series.limit;
  const auto days = static_cast<int>(series.points.size());
  for (int i = kFewestPoints; i < days; ++i) {
    const auto points = std::span(series.points).first(static_cast<size_t>(i) + 1);
    const uint64_t bytes = points.back().bytes;
    if (bytes >= limit) {
      fills.push_back(i);
      limit = std::max(limit + limit / 2, bytes + bytes / 4);
    }
    const double a_day = forecaster.a_day(points);
    GrowthOutlook outlook;
    outlook.mail = bytes;
    outlook.limit = limit;
    outlook.known = true;
    if (const auto full = DaysToFull(a_day, bytes, limit)) {
      outlook.full_on = CalendarDay{};
      outlook.days_to_full = *full;
    }
    state = Rearmed(package, outlook, state);
    for (const GrowthWarning& warning : DueWarnings("a", package, outlook, state)) {
      NoteWarning(package, warning, "", state);
      alarms.push_back(i);
    }
    if (i + kAhead < days) {
      const auto later = static_cast<double>(series.points[static_cast<size_t>(i) + kAhead].bytes);
      const double foretold = std::max(0.0, static_cast<double>(bytes) + kAhead * a_day);
      score.error.push_back(100 * std::abs(foretold - later) / static_cast<double>(series.limit));
    }
  }
  for (const int fill : fills) {
    ++score.fills;
    const auto first = std::find_if(alarms.begin(), alarms.end(),
                                    [&](int at) { return at < fill && at >= fill - kTrueDays; });
    if (first == alarms.end()) {
      ++score.missed;
    } else {
      score.notice.push_back(fill - *first);
    }
  }
  for (const int alarm : alarms) {
    const bool is_true = std::any_of(fills.begin(), fills.end(), [&](int fill) {
      return fill > alarm && fill <= alarm + kTrueDays;
    });
    score.false_alarms += alarm + kTrueDays < days && !is_true ? 1 : 0;
  }
  score.years += days / 365.0;
}

double GrowthScore::MissedPercent() const {
  return fills == 0 ? 0 : 100.0 * missed / fills;
}

int GrowthScore::Notice(int percentile) const {
  if (notice.empty()) {
    return 0;
  }
  std::vector<int> sorted = notice;
  std::sort(sorted.begin(), sorted.end());
  return sorted[(sorted.size() - 1) * static_cast<size_t>(percentile) / 100];
}

double GrowthScore::FalseAlarmsAYear() const {
  return years > 0 ? false_alarms / years : 0;
}

double GrowthScore::MeanError() const {
  return error.empty()
             ? 0
             : std::accumulate(error.begin(), error.end(), 0.0) / static_cast<double>(error.size());
}

}  // namespace hosting

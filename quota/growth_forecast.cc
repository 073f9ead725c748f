#include "quota/growth_forecast.h"

#include <algorithm>
#include <cmath>

#include "quota/billing_invoice.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr size_t kExtremes = 2;            // days at each end that are taken for single ones
constexpr size_t kFewestForExtremes = 14;  // with fewer days only one at each end is
constexpr double kWeekdayShare = 0.5;      // of a weekday's own figure; the rest is the mean's

struct DayGrowth {
  int64_t day;
  double bytes;
};

// Of the last days, oldest first.
std::vector<DayGrowth> DailyGrowth(std::span<const GrowthPoint> points) {
  std::vector<DayGrowth> growth;
  for (size_t i = points.size(); i-- > 1 && growth.size() < kForecastDays;) {
    const GrowthPoint& from = points[i - 1];
    const int64_t days = int64_t{points[i].day} - from.day;
    const double bytes = static_cast<double>(points[i].bytes) - static_cast<double>(from.bytes);
    for (int64_t k = 0; k < days && growth.size() < kForecastDays; ++k) {
      growth.push_back({points[i].day - k, bytes / static_cast<double>(days)});
    }
  }
  std::reverse(growth.begin(), growth.end());
  return growth;
}

// Pulls the highest and lowest days in to the next ones.
void Winsorise(std::vector<DayGrowth>& growth) {
  const size_t extremes = growth.size() < kFewestForExtremes ? 1 : kExtremes;
  std::vector<double> sorted;
  sorted.reserve(growth.size());
  for (const DayGrowth& each : growth) {
    sorted.push_back(each.bytes);
  }
  std::sort(sorted.begin(), sorted.end());
  for (DayGrowth& each : growth) {
    each.bytes = std::clamp(each.bytes, sorted[extremes], sorted[sorted.size() - 1 - extremes]);
  }
}

uint64_t Rounded(double bytes) {
  return bytes <= 0 ? 0 : static_cast<uint64_t>(std::min(bytes, 0x1p63));
}

}  // namespace

GrowthRate GrowthRate::Of(std::span<const GrowthPoint> points) {
  GrowthRate rate;
  std::vector<DayGrowth> growth = DailyGrowth(points);
  if (growth.size() < kFewestForecastDays) {
    return rate;
  }
  Winsorise(growth);
  double sum = 0, weights = 0;
  std::array<double, 7> day_sum{}, day_weights{};
  double weight = 1;
  const double older = std::exp2(-1.0 / kForecastHalfLife);
  for (auto each = growth.rbegin(); each != growth.rend(); ++each, weight *= older) {
    sum += weight * each->bytes;
    weights += weight;
    const auto weekday = static_cast<size_t>(((each->day % 7) + 7) % 7);
    day_sum[weekday] += weight * each->bytes;
    day_weights[weekday] += weight;
  }
  rate.known_ = true;
  rate.a_day_ = sum / weights;
  double week = 0;
  for (size_t i = 0; i < 7; ++i) {
    const double own = day_weights[i] > 0 ? day_sum[i] / day_weights[i] : rate.a_day_;
    rate.weekday_[i] = rate.a_day_ + kWeekdayShare * (own - rate.a_day_);
    week += rate.weekday_[i];
  }
  for (double& each : rate.weekday_) {
    each += rate.a_day_ - week / 7;  // seven days are seven times a_day
  }
  return rate;
}

double GrowthRate::OnDay(int64_t day) const {
  return weekday_[static_cast<size_t>(((day % 7) + 7) % 7)];
}

double GrowthRate::Between(int64_t from, int64_t to) const {
  double bytes = 0;
  while (from < to) {
    const int64_t day = from / kSecondsADay;
    const int64_t end = std::min(to, (day + 1) * kSecondsADay);
    bytes += OnDay(day) * static_cast<double>(end - from) / static_cast<double>(kSecondsADay);
    from = end;
  }
  return bytes;
}

std::optional<int64_t> GrowthRate::Reaches(uint64_t limit, int64_t now, uint64_t bytes) const {
  if (bytes >= limit) {
    return now;
  }
  if (a_day_ <= 0) {
    return std::nullopt;
  }
  double missing = static_cast<double>(limit - bytes);
  // Whole weeks at once, less one within which a high weekday may come first.
  const double week = 7 * a_day_;
  const int64_t weeks = static_cast<int64_t>(
      std::clamp(missing / week - 1, 0.0, static_cast<double>(kFarthestFullDays)));
  missing -= static_cast<double>(weeks) * week;
  const int64_t farthest = now + kFarthestFullDays * kSecondsADay;
  for (int64_t at = now + weeks * 7 * kSecondsADay; at < farthest;) {
    const int64_t day = at / kSecondsADay;
    const int64_t end = (day + 1) * kSecondsADay;
    const double part = static_cast<double>(end - at) / static_cast<double>(kSecondsADay);
    const double growth = OnDay(day) * part;
    if (growth >= missing) {
      return at + static_cast<int64_t>(std::ceil(missing / growth * static_cast<double>(end - at)));
    }
    missing -= growth;
    at = end;
  }
  return std::nullopt;
}

int64_t DaysBetween(const CalendarDay& from, const CalendarDay& to) {
  // Days of the proleptic Gregorian calendar before a date, years beginning in March.
  const auto number = [](const CalendarDay& day) {
    const int64_t year = day.month <= 2 ? day.year - 1 : day.year;
    const int64_t month = (static_cast<int64_t>(day.month) + 9) % 12;
    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 +
           static_cast<int64_t>(day.day);
  };
  return number(to) - number(from);
}

GrowthOutlook OutlookOf(const AccountTotals& totals, uint64_t limit, const TimeZone& zone,
                        std::span<const GrowthPoint> points, int64_t now) {
  GrowthOutlook outlook;
  outlook.at = now;
  outlook.mail = totals.mail;
  outlook.web = totals.web;
  outlook.external = totals.external;
  outlook.limit = limit;
  const CalendarDay today = zone.DayOf(now);
  outlook.month = today.Month();
  const GrowthRate rate = GrowthRate::Of(points);
  outlook.known = rate.known();
  outlook.growth_a_day = std::llround(rate.a_day());
  const int64_t week_ago = now / kSecondsADay - 7;
  for (const GrowthPoint& point : points) {
    if (point.day <= week_ago) {
      outlook.week_ago = point.bytes;
    }
  }
  if (limit == 0) {
    return outlook;
  }
  outlook.percent = static_cast<uint32_t>(
      std::min<WideBytes>(static_cast<WideBytes>(outlook.used()) * 100 / limit, UINT32_MAX));
  if (const auto full = rate.Reaches(limit, now, outlook.used())) {
    outlook.full_on = zone.DayOf(*full);
    outlook.days_to_full = static_cast<uint32_t>(DaysBetween(today, *outlook.full_on));
  }
  return outlook;
}

Status AddExpectedPrice(const Overage& overage, std::vector<BillingDay> days, const TimeZone& zone,
                        const GrowthRate& rate, GrowthOutlook& outlook) {
  outlook.currency = overage.currency;
  int64_t at = outlook.at;
  double bytes = static_cast<double>(outlook.used());
  // Today's samples so far go on; then a day for each that is left.
  bool begun = !days.empty() && zone.DayOf(days.back().last_at) == zone.DayOf(at);
  while (zone.DayOf(at).Month() == outlook.month) {
    const int64_t next = zone.NextDay(at);
    const double end = std::max(0.0, bytes + rate.Between(at, next));
    const auto hours = static_cast<uint32_t>((next - at + 3599) / 3600);
    if (!std::exchange(begun, false)) {
      days.emplace_back();
    }
    if (hours > 1) {
      days.back().Add(Rounded((bytes + end) / 2), at, hours - 1);
    }
    days.back().Add(Rounded(end), next - 3600, 1);
    bytes = end;
    at = next;
  }
  const uint64_t basis = BasisBytes(overage.basis, days);
  outlook.overage = basis > outlook.limit && outlook.limit != 0 ? basis - outlook.limit : 0;
  LBOX_ASSIGN_OR_RETURN(outlook.price,
                        overage.price.Times(Units(outlook.overage, overage.per, overage.rounding)));
  return {};
}

}  // namespace hosting

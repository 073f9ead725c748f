// Growth a day, the day a limit is reached and what a month will cost, of histories that can be
// reckoned by hand.
#include "quota/growth_forecast.h"

#include <cmath>

#include <gtest/gtest.h>

namespace hosting {
namespace {

constexpr int32_t kToday = 20454;  // 2026-01-01, a Thursday
constexpr int64_t kNow = kToday * kSecondsADay;
constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

// Days up to yesterday's end that each bring what `of` says.
template <typename Of>
std::vector<GrowthPoint> History(int days, uint64_t first, Of of) {
  std::vector<GrowthPoint> points = {{kToday - days - 1, first}};
  for (int i = days; i >= 1; --i) {
    const auto bytes = static_cast<int64_t>(points.back().bytes) + of(kToday - i);
    points.push_back({kToday - i, static_cast<uint64_t>(bytes)});
  }
  return points;
}

std::vector<GrowthPoint> Steady(int days, int64_t a_day) {
  return History(days, kGiB, [&](int32_t) { return a_day; });
}

TEST(GrowthRate, IsThatOfASteadyAccount) {
  const GrowthRate rate = GrowthRate::Of(Steady(60, kMiB));
  ASSERT_TRUE(rate.known());
  EXPECT_NEAR(rate.a_day(), kMiB, 1);
  EXPECT_NEAR(rate.Between(kNow, kNow + 10 * kSecondsADay), 10 * kMiB, 10);
  EXPECT_NEAR(rate.Between(kNow + 3600, kNow + 7200), kMiB / 24.0, 1);
  EXPECT_EQ(rate.Reaches(kGiB + 14 * kMiB, kNow, kGiB), kNow + 14 * kSecondsADay);
  EXPECT_EQ(rate.Reaches(kGiB, kNow, kGiB), kNow);
  EXPECT_EQ(rate.Reaches(kGiB, kNow, 2 * kGiB), kNow);
  EXPECT_EQ(rate.Reaches(2 * kGiB, kNow, kGiB), std::nullopt);  // in three years
}

TEST(GrowthRate, NeedsAWeek) {
  EXPECT_FALSE(GrowthRate::Of({}).known());
  EXPECT_FALSE(GrowthRate::Of(Steady(0, 1)).known());
  EXPECT_FALSE(GrowthRate::Of(Steady(6, kMiB)).known());
  EXPECT_TRUE(GrowthRate::Of(Steady(7, kMiB)).known());
  EXPECT_EQ(GrowthRate().Reaches(10, kNow, 1), std::nullopt);
  EXPECT_EQ(GrowthRate().Reaches(10, kNow, 10), kNow);
}

TEST(GrowthRate, SingleJumpsAndCleanUpsDoNotCount) {
  const auto with = [](int64_t jump, int days_ago) {
    return GrowthRate::Of(History(42, 10 * kGiB, [&](int32_t day) {
      return static_cast<int64_t>(kMiB) + (day == kToday - days_ago ? jump : 0);
    }));
  };
  for (const int days_ago : {1, 5, 20, 42}) {
    EXPECT_NEAR(with(3 * kGiB, days_ago).a_day(), kMiB, 1) << days_ago;
    EXPECT_NEAR(with(-3 * static_cast<int64_t>(kGiB), days_ago).a_day(), kMiB, 1) << days_ago;
  }
}

TEST(GrowthRate, FollowsAChangeWithinWeeks) {
  const GrowthRate rate = GrowthRate::Of(History(
      42, kGiB, [](int32_t day) -> int64_t { return day >= kToday - 21 ? 3 * kMiB : kMiB; }));
  EXPECT_GT(rate.a_day(), 2.2 * kMiB);
  EXPECT_LT(rate.a_day(), 3.0 * kMiB);
}

TEST(GrowthRate, KnowsTheWeek) {
  // Nothing on Saturdays and Sundays: 1970-01-01 was a Thursday.
  const auto weekday = [](int32_t day) { return (day + 4) % 7; };
  const GrowthRate rate = GrowthRate::Of(History(42, kGiB, [&](int32_t day) -> int64_t {
    return weekday(day) == 0 || weekday(day) == 6 ? 0 : 7 * kMiB;
  }));
  const double week = rate.Between(kNow, kNow + 7 * kSecondsADay);
  EXPECT_NEAR(week, 7 * rate.a_day(), 16);
  EXPECT_NEAR(week, 35 * kMiB, 2 * kMiB);
  const int64_t saturday = kNow + 2 * kSecondsADay;
  EXPECT_LT(rate.Between(saturday, saturday + kSecondsADay), 0.6 * rate.a_day());
  EXPECT_GT(rate.Between(kNow, kNow + kSecondsADay), 1.1 * rate.a_day());
}

TEST(GrowthRate, MissingDaysAreSpreadOver) {
  std::vector<GrowthPoint> points = Steady(42, kMiB);
  points.erase(points.begin() + 10, points.begin() + 30);
  EXPECT_NEAR(GrowthRate::Of(points).a_day(), kMiB, 1);
  points = {{kToday - 400, kGiB}, {kToday - 1, kGiB + 399 * kMiB}};
  EXPECT_NEAR(GrowthRate::Of(points).a_day(), kMiB, 1);
}

TEST(GrowthRate, HoldsOutWithAnyNumbers) {
  std::vector<GrowthPoint> points;
  for (int i = 0; i < 50; ++i) {
    points.push_back({kToday - 50 + i, i % 2 == 0 ? 0 : UINT64_MAX});
  }
  const GrowthRate rate = GrowthRate::Of(points);
  EXPECT_TRUE(std::isfinite(rate.a_day()));
  (void)rate.Reaches(UINT64_MAX, kNow, 0);
  const auto outlook = OutlookOf({.mail = UINT64_MAX}, 1, TimeZone::Of("UTC"), points, kNow);
  EXPECT_EQ(outlook.percent, UINT32_MAX);
}

TEST(GrowthOutlook, CountsDaysWhereTheAccountIs) {
  AccountTotals totals;
  totals.mail = kGiB;
  totals.web = 60 * kMiB;
  const uint64_t limit = kGiB + 60 * kMiB + 4 * kMiB;
  const auto points = Steady(60, kMiB);
  auto outlook = OutlookOf(totals, limit, TimeZone::Of("UTC"), points, kNow + 3600);
  EXPECT_TRUE(outlook.known);
  EXPECT_EQ(outlook.full_on->Text(), "2026-01-05");
  EXPECT_EQ(outlook.days_to_full, 4U);
  EXPECT_EQ(outlook.percent, 99U);
  EXPECT_EQ(outlook.month, "2026-01");
  EXPECT_EQ(outlook.week_ago, points[points.size() - 7].bytes);
  // Where it is still the evening before.
  outlook = OutlookOf(totals, limit, TimeZone::Of("America/New_York"), points, kNow + 3600);
  EXPECT_EQ(outlook.full_on->Text(), "2026-01-04");
  EXPECT_EQ(outlook.days_to_full, 4U);
  EXPECT_EQ(outlook.month, "2025-12");
  // Full, and without a limit.
  totals.external = kGiB;
  outlook = OutlookOf(totals, limit, TimeZone::Of("UTC"), points, kNow);
  EXPECT_EQ(outlook.full_on->Text(), "2026-01-01");
  EXPECT_EQ(outlook.days_to_full, 0U);
  outlook = OutlookOf(totals, 0, TimeZone::Of("UTC"), points, kNow);
  EXPECT_FALSE(outlook.full_on);
  EXPECT_EQ(outlook.percent, 0U);
}

TEST(GrowthOutlook, KnowsNoWeekBeforeHistoryBegan) {
  EXPECT_FALSE(OutlookOf({}, 0, TimeZone::Of("UTC"), Steady(5, 1), kNow).week_ago);
  EXPECT_TRUE(OutlookOf({}, 0, TimeZone::Of("UTC"), Steady(7, 1), kNow).week_ago);
}

class ExpectedPrice : public ::testing::Test {
 protected:
  ExpectedPrice() {
    overage_.price = *Money::Parse("20.00");
    overage_.currency = "ZAR";
    overage_.per = kMiB;
    outlook_.at = kNow + 20 * kSecondsADay;  // 21 January, 00:00
    outlook_.month = "2026-01";
    outlook_.limit = kGiB;
    outlook_.mail = kGiB;
  }
  // Days of the month so far, each at `bytes`.
  static std::vector<BillingDay> Days(int number, uint64_t bytes) {
    std::vector<BillingDay> days(static_cast<size_t>(number));
    for (int i = 0; i < number; ++i) {
      days[static_cast<size_t>(i)].Add(bytes, kNow + i * kSecondsADay, 24);
    }
    return days;
  }
  std::string Price(Basis basis, std::vector<BillingDay> days) {
    overage_.basis = basis;
    GrowthOutlook outlook = outlook_;
    EXPECT_TRUE(
        AddExpectedPrice(overage_, std::move(days), TimeZone::Of("UTC"), rate_, outlook).ok());
    EXPECT_EQ(outlook.currency, "ZAR");
    return std::to_string(outlook.overage / kMiB) + " MiB " + outlook.price.Format();
  }

  Overage overage_;
  GrowthOutlook outlook_;
  GrowthRate rate_ = GrowthRate::Of(Steady(60, kMiB));
};

TEST_F(ExpectedPrice, IsThatOfTheMonthsEnd) {
  // Eleven days are left, so 11 MiB.
  EXPECT_EQ(Price(Basis::kEnd, Days(20, kGiB)), "11 MiB 220.00");
  EXPECT_EQ(Price(Basis::kPeak, Days(20, kGiB)), "11 MiB 220.00");
  // It was higher before.
  EXPECT_EQ(Price(Basis::kPeak, Days(20, kGiB + 50 * kMiB)), "50 MiB 1000.00");
  EXPECT_EQ(Price(Basis::kEnd, Days(20, kGiB + 50 * kMiB)), "11 MiB 220.00");
  // Of 31 days 20 at 31 MiB above, eleven at about 5.5.
  EXPECT_EQ(Price(Basis::kAverage, Days(20, kGiB + 31 * kMiB)), "21 MiB 440.00");
  EXPECT_EQ(Price(Basis::kEnd, {}), "11 MiB 220.00");
}

TEST_F(ExpectedPrice, GoesOnFromTodaysSamples) {
  outlook_.at += kSecondsADay / 2;
  std::vector<BillingDay> days = Days(20, kGiB);
  days.emplace_back().Add(kGiB + 99 * kMiB, kNow + 20 * kSecondsADay, 12);
  EXPECT_EQ(Price(Basis::kPeak, days), "99 MiB 1980.00");
}

TEST_F(ExpectedPrice, IsNothingBelowTheLimitOrWithoutOne) {
  outlook_.mail = kGiB - 20 * kMiB;
  EXPECT_EQ(Price(Basis::kPeak, Days(20, kMiB)), "0 MiB 0.00");
  outlook_.limit = 0;
  EXPECT_EQ(Price(Basis::kPeak, Days(20, kGiB)), "0 MiB 0.00");
}

TEST_F(ExpectedPrice, ThatIsTooHighIsAnError) {
  overage_.price = *Money::Parse("999999999999");
  overage_.per = 1;
  GrowthOutlook outlook = outlook_;
  EXPECT_EQ(AddExpectedPrice(overage_, {}, TimeZone::Of("UTC"), rate_, outlook).code(),
            Code::kInvalid);
}

TEST(DaysBetween, CountsCalendarDays) {
  EXPECT_EQ(DaysBetween({2026, 1, 1}, {2026, 1, 1}), 0);
  EXPECT_EQ(DaysBetween({2026, 2, 28}, {2026, 3, 1}), 1);
  EXPECT_EQ(DaysBetween({2028, 2, 28}, {2028, 3, 1}), 2);
  EXPECT_EQ(DaysBetween({2026, 12, 31}, {2027, 1, 1}), 1);
  EXPECT_EQ(DaysBetween({2026, 3, 1}, {2026, 2, 28}), -1);
  EXPECT_EQ(DaysBetween({2000, 1, 1}, {2026, 1, 1}), 9497);
}

}  // namespace
}  // namespace hosting

// Each rule fires once for a crossing, and again only after it was left clearly behind.
#include "quota/growth_rules.h"

#include <gtest/gtest.h>

namespace hosting {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class GrowthRules : public ::testing::Test {
 protected:
  GrowthRules() {
    package_.name = "gold";
    package_.warn_percent = {};
    outlook_.limit = 1000 * kMiB;
    outlook_.known = true;
    outlook_.month = "2026-01";
    outlook_.at = 5;
    Use(10);
  }
  void Use(uint64_t percent) {
    outlook_.mail = percent * 10 * kMiB;
    outlook_.percent = static_cast<uint32_t>(percent);
  }
  void FullIn(std::optional<uint32_t> days) {
    outlook_.full_on = days ? std::optional(CalendarDay{2026, 1, 15}) : std::nullopt;
    outlook_.days_to_full = days.value_or(0);
  }
  // What is given in one pass: "percent 80 notice" ...
  std::string Pass() {
    state_ = Rearmed(package_, outlook_, state_);
    std::string given;
    for (const GrowthWarning& warning : DueWarnings("a", package_, outlook_, state_)) {
      EXPECT_EQ(warning.number, state_.warnings + 1);
      EXPECT_EQ(warning.mail, outlook_.mail);
      NoteWarning(package_, warning, outlook_.month, state_);
      given += (given.empty() ? "" : ", ") + std::string(NameOf(warning.rule)) + " " +
               std::to_string(warning.threshold) + " " + NameOf(warning.level);
      // As after a restart.
      const auto read = DecodeGrowthState(EncodeGrowthState(state_));
      EXPECT_TRUE(read.ok());
      EXPECT_EQ(*read, state_);
    }
    return given;
  }
  std::string At(uint64_t percent) {
    Use(percent);
    return Pass();
  }
  std::string Full(std::optional<uint32_t> days) {
    FullIn(days);
    return Pass();
  }

  Package package_;
  GrowthOutlook outlook_;
  GrowthState state_;
};

TEST_F(GrowthRules, PercentagesFireOnceWithHysteresis) {
  package_.warn_percent = {80, 90, 100};
  EXPECT_EQ(At(79), "");
  EXPECT_EQ(At(80), "percent 80 notice");
  EXPECT_EQ(At(80), "");
  EXPECT_EQ(At(89), "");
  EXPECT_EQ(At(78), "");  // not clearly below
  EXPECT_EQ(At(81), "");
  EXPECT_EQ(At(77), "");
  EXPECT_EQ(At(80), "percent 80 notice");
  EXPECT_EQ(At(93), "percent 90 warning");
  EXPECT_EQ(At(100), "percent 100 full");
  EXPECT_EQ(At(150), "");
  EXPECT_EQ(At(96), "");
  EXPECT_EQ(At(100), "percent 100 full");
  EXPECT_EQ(At(98), "");
  EXPECT_EQ(At(101), "");
  EXPECT_EQ(At(10), "");
  EXPECT_EQ(state_.percents, std::vector<uint32_t>{});
  EXPECT_EQ(state_.warnings, 5U);
}

TEST_F(GrowthRules, OnlyTheHighestPercentageThatWasPassedIsTold) {
  package_.warn_percent = {80, 90, 100};
  EXPECT_EQ(At(95), "percent 90 warning");
  EXPECT_EQ(At(85), "");  // 90 is watched for again, 80 is not
  EXPECT_EQ(At(91), "percent 90 warning");
}

TEST_F(GrowthRules, AnotherLimitOrPolicyIsFollowed) {
  package_.warn_percent = {80, 90};
  EXPECT_EQ(At(92), "percent 90 warning");
  package_.warn_percent = {80, 85, 90, 95};
  EXPECT_EQ(At(92), "");
  EXPECT_EQ(At(95), "percent 95 warning");
  EXPECT_EQ(At(47), "");  // twice the limit
  EXPECT_EQ(At(81), "percent 80 notice");
  outlook_.limit = 0;
  EXPECT_EQ(At(0), "");
  package_.warn_percent = {};
  outlook_.limit = 1000 * kMiB;
  EXPECT_EQ(At(200), "");
}

TEST_F(GrowthRules, DaysToFullFireOnceWithHysteresis) {
  package_.warn_days = 14;
  EXPECT_EQ(Full(std::nullopt), "");
  EXPECT_EQ(Full(15), "");
  EXPECT_EQ(Full(14), "days 14 notice");
  EXPECT_EQ(Full(6), "");
  EXPECT_EQ(Full(20), "");
  EXPECT_EQ(Full(14), "");
  EXPECT_EQ(Full(24), "");
  EXPECT_EQ(Full(7), "days 14 warning");
  EXPECT_EQ(Full(std::nullopt), "");
  EXPECT_EQ(Full(1), "days 14 warning");
  Use(100);
  EXPECT_EQ(Full(0), "");
}

TEST_F(GrowthRules, WhatIsFullWillNotBeSoon) {
  package_.warn_days = 14;
  package_.warn_percent = {100};
  Use(101);
  EXPECT_EQ(Full(0), "percent 100 full");
  Use(99);
  EXPECT_EQ(Full(1), "");
  EXPECT_EQ(Full(40), "");
  EXPECT_EQ(Full(1), "days 14 warning");
}

TEST_F(GrowthRules, DaysNeedAForecast) {
  package_.warn_days = 14;
  outlook_.known = false;
  EXPECT_EQ(Full(2), "");
}

TEST_F(GrowthRules, WeeklyGrowth) {
  package_.warn_weekly_percent = 25;
  const auto from = [&](uint64_t before, uint64_t percent) {
    outlook_.week_ago = before * 10 * kMiB;
    return At(percent);
  };
  EXPECT_EQ(At(50), "");        // nothing is known of a week ago
  EXPECT_EQ(from(0, 50), "");   // from nothing there is no percentage
  EXPECT_EQ(from(40, 50), "");  // exactly 25 %
  EXPECT_EQ(from(40, 51), "week 25 notice");
  EXPECT_EQ(from(40, 60), "");
  EXPECT_EQ(from(50, 60), "");  // 20 %
  EXPECT_EQ(from(45, 60), "");
  EXPECT_EQ(from(55, 60), "");  // 9 %
  EXPECT_EQ(from(40, 60), "week 25 notice");
  EXPECT_EQ(from(60, 50), "");
  // Little of the limit, however many percent.
  outlook_.week_ago = kMiB;
  outlook_.mail = 9 * kMiB;
  EXPECT_EQ(Pass(), "");
  outlook_.limit = 0;
  EXPECT_EQ(Pass(), "");
  outlook_.mail = 100 * kMiB;
  EXPECT_EQ(Pass(), "week 25 notice");
}

TEST_F(GrowthRules, ThePriceOfEachMonthOnce) {
  package_.warn_overage = Money::Parse("10").value();
  const auto price = [&](const char* text) {
    outlook_.price = *Money::Parse(text);
    return Pass();
  };
  EXPECT_EQ(price("99"), "");  // nothing is charged
  outlook_.currency = "EUR";
  EXPECT_EQ(price("10.00"), "");
  EXPECT_EQ(price("10.01"), "overage 0 warning");
  EXPECT_EQ(price("5"), "");
  EXPECT_EQ(price("20"), "");
  outlook_.month = "2026-02";
  EXPECT_EQ(price("9"), "");
  EXPECT_EQ(price("11"), "overage 0 warning");
  package_.warn_overage = Money();
  outlook_.month = "2026-03";
  EXPECT_EQ(price("0.00"), "");
  EXPECT_EQ(price("0.01"), "overage 0 warning");
}

TEST_F(GrowthRules, SeveralAtOnceHaveNumbersOfTheirOwn) {
  package_.warn_percent = {80};
  package_.warn_days = 30;
  package_.warn_overage = Money();
  Use(85);
  FullIn(10);
  outlook_.currency = "EUR";
  outlook_.price = *Money::Parse("3");
  const auto due = DueWarnings("a", package_, outlook_, state_);
  ASSERT_EQ(due.size(), 3U);
  for (size_t i = 0; i < due.size(); ++i) {
    EXPECT_EQ(due[i].number, i + 1);
  }
  EXPECT_EQ(due[0].package, "gold");
  EXPECT_EQ(due[0].account, "a");
  EXPECT_EQ(due[0].at, 5);
  EXPECT_EQ(due[0].full_on, outlook_.full_on);
  EXPECT_EQ(due[2].price_threshold, Money());
}

TEST(GrowthState, WhatIsNoneIsRefused) {
  const std::string good = EncodeGrowthState({3, {80, 90}, true, false, "2026-01"});
  EXPECT_TRUE(DecodeGrowthState(good).ok());
  for (size_t size = 0; size < good.size() - 7; ++size) {
    EXPECT_FALSE(DecodeGrowthState(good.substr(0, size)).ok()) << size;
  }
  std::string other = good;
  other[0] = 2;
  EXPECT_FALSE(DecodeGrowthState(other).ok());
}

}  // namespace
}  // namespace hosting

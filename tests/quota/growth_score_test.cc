// The forecast is as good as docs/growth.md says, on fewer histories, and better than its rivals;
// one that is made worse does not pass.
#include "tests/quota/growth_score.h"

#include <map>

#include <gtest/gtest.h>

namespace hosting {
namespace {

constexpr uint32_t kSeeds = 12;

GrowthScore ScoreOf(const Forecaster& forecaster, const std::vector<std::string>& kinds) {
  static const auto messages = ReadDatedSizes(LBOX_SOURCE_DIR "/tests/quota/growth_messages.txt");
  EXPECT_GT(messages.size(), 1000U);
  GrowthScore score;
  for (const std::string& kind : kinds) {
    for (uint32_t seed = 1; seed <= kSeeds; ++seed) {
      Score(MakeGrowthSeries(kind, seed, messages), forecaster, score);
    }
  }
  return score;
}

const std::vector<std::string> kRegular = {"steady", "weekly", "seasonal"};

// Empty, or which bound it does not keep.
std::string Fault(const Forecaster& forecaster) {
  const GrowthScore regular = ScoreOf(forecaster, kRegular);
  const GrowthScore all = ScoreOf(forecaster, GrowthKinds());
  if (regular.MissedPercent() > 5) {
    return "fills unforeseen " + std::to_string(regular.MissedPercent());
  }
  if (regular.Notice(10) < 8 || regular.Notice(50) < 12) {
    return "short notice";
  }
  if (all.FalseAlarmsAYear() > 0.25) {
    return "false alarms " + std::to_string(all.FalseAlarmsAYear());
  }
  if (all.MeanError() > 4) {
    return "error " + std::to_string(all.MeanError());
  }
  return "";
}

TEST(GrowthScore, TheForecastKeepsItsBounds) {
  EXPECT_EQ(Fault(OwnForecaster()), "");
}

TEST(GrowthScore, AWorseForecastDoesNot) {
  EXPECT_NE(Fault(BadForecaster()), "");
  for (const Forecaster& rival : Rivals()) {
    EXPECT_NE(Fault(rival), "") << rival.name;
  }
}

TEST(GrowthScore, RivalsErrMore) {
  const GrowthScore own = ScoreOf(OwnForecaster(), GrowthKinds());
  for (const Forecaster& rival : Rivals()) {
    const GrowthScore other = ScoreOf(rival, GrowthKinds());
    EXPECT_LT(own.MeanError(), 0.9 * other.MeanError()) << rival.name;
    EXPECT_LT(own.FalseAlarmsAYear(), 0.8 * other.FalseAlarmsAYear()) << rival.name;
  }
}

TEST(GrowthSeries, IsTheSameForTheSameSeed) {
  const std::vector<DatedSize> messages = {{86400 * 20000, 1000}, {86400 * 20003, 5000}};
  for (const std::string& kind : GrowthKinds()) {
    const auto a = MakeGrowthSeries(kind, 1, messages), b = MakeGrowthSeries(kind, 1, messages);
    const auto c = MakeGrowthSeries(kind, 2, messages);
    ASSERT_EQ(a.points.size(), b.points.size());
    bool same = true, other = false;
    for (size_t i = 0; i < a.points.size(); ++i) {
      same = same && a.points[i].bytes == b.points[i].bytes;
      other = other || a.points[i].bytes != c.points[i].bytes;
    }
    EXPECT_TRUE(same && other) << kind;
  }
}

}  // namespace
}  // namespace hosting

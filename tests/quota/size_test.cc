#include "quota/size.h"

#include <random>

#include <gtest/gtest.h>

namespace hosting {
namespace {

constexpr uint64_t kK = 1024, kG = kK * kK * kK;

TEST(Size, Reads) {
  const struct {
    const char* text;
    uint64_t bytes;
  } cases[] = {
      {"0", 0},
      {"1", 1},
      {"4096", 4096},
      {"100k", 100 * kK},
      {"100K", 100 * kK},
      {"512M", kG / 2},
      {"512m", kG / 2},
      {"10G", 10 * kG},
      {"10 g", 10 * kG},
      {"3T", 3 * kG * kK},
      {"1024P", kMaxSize},
      {"1152921504606846976", kMaxSize},
  };
  for (const auto& c : cases) {
    const auto size = ParseSize(c.text);
    ASSERT_TRUE(size.ok()) << c.text;
    EXPECT_EQ(*size, c.bytes) << c.text;
  }
}

TEST(Size, RefusesAndSaysWhatIsExpected) {
  for (const char* text : {"", " ", "G", "-1", "+1", "1.5G", "10GB", "10GiB", "10 x", "1 0", " 1",
                           "1 ", "1G ", "0x10", "1e3", "none", "1E", "99999999999999999999"}) {
    const auto size = ParseSize(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_NE(size.status().message().find("expected a size"), std::string::npos);
  }
  EXPECT_FALSE(ParseSize(std::string_view("10\0G", 4)).ok());
  for (const char* text :
       {"1025P", "1152921504606846977", "18446744073709551615", "9007199254740993G"}) {
    const auto size = ParseSize(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.status().message(), "expected a size of at most 1024P");
  }
}

TEST(Size, ALimitMayBeNone) {
  EXPECT_EQ(*ParseLimit("none"), 0U);
  EXPECT_EQ(*ParseLimit("1G"), kG);
  EXPECT_EQ(ParseLimit("0").status().message(),
            "expected a size above 0, or \"none\" for no limit");
  EXPECT_NE(ParseLimit("x").status().message().find("or \"none\" for no limit"), std::string::npos);
}

TEST(Size, WritesWhatItReads) {
  EXPECT_EQ(FormatSize(0), "0");
  EXPECT_EQ(FormatSize(1000), "1000");
  EXPECT_EQ(FormatSize(10 * kG), "10G");
  EXPECT_EQ(FormatSize(1536 * kK * kK), "1536M");
  EXPECT_EQ(FormatSize(kMaxSize), "1024P");
  std::mt19937_64 random(1);
  for (int i = 0; i < 10000; ++i) {
    const uint64_t bytes = (random() >> (random() % 64)) << (random() % 64);
    if (bytes <= kMaxSize) {
      EXPECT_EQ(*ParseSize(FormatSize(bytes)), bytes);
    }
  }
}

TEST(Duration, Reads) {
  const struct {
    const char* text;
    uint32_t seconds;
  } cases[] = {
      {"0s", 0},
      {"30s", 30},
      {"30 sec", 30},
      {"30 seconds", 30},
      {"90 min", 5400},
      {"90 mins", 5400},
      {"1 minute", 60},
      {"5 minutes", 300},
      {"1h", 3600},
      {"2 hours", 7200},
      {"1 hr", 3600},
      {"2 days", 172800},
      {"2 day", 172800},
      {"2d", 172800},
      {"1w", 604800},
      {"2 weeks", 1209600},
      {"3660 days", kMaxDuration},
  };
  for (const auto& c : cases) {
    const auto seconds = ParseDuration(c.text);
    ASSERT_TRUE(seconds.ok()) << c.text;
    EXPECT_EQ(*seconds, c.seconds) << c.text;
  }
}

TEST(Duration, RefusesAndSaysWhatIsExpected) {
  for (const char* text : {"", "5", "days", "5m", "5 months", "-1 day", "1.5 h", "1 day 2 h",
                           "2 dayss", "s", "2 ", "2 Days"}) {
    const auto seconds = ParseDuration(text);
    ASSERT_FALSE(seconds.ok()) << text;
    EXPECT_NE(seconds.status().message().find("expected a time with its unit"), std::string::npos);
  }
  EXPECT_EQ(ParseDuration("3661 days").status().message(), "expected a time of at most ten years");
  EXPECT_FALSE(ParseDuration("18446744073709551615 s").ok());
}

TEST(Duration, WritesWhatItReads) {
  EXPECT_EQ(FormatDuration(172800), "2 days");
  EXPECT_EQ(FormatDuration(86400), "1 day");
  EXPECT_EQ(FormatDuration(5400), "90 min");
  EXPECT_EQ(FormatDuration(61), "61 sec");
  EXPECT_EQ(FormatDuration(0), "0 sec");
  for (uint32_t seconds = 0; seconds < 1'300'000; seconds += 59) {
    EXPECT_EQ(*ParseDuration(FormatDuration(seconds)), seconds);
  }
}

}  // namespace
}  // namespace hosting

#include "quota/money.h"

#include <gtest/gtest.h>

namespace hosting {
namespace {

TEST(Money, ReadsAndWrites) {
  const struct {
    const char *text, *formatted;
  } cases[] = {
      {"20", "20.00"}, {"20.00", "20.00"},   {"0", "0.00"},
      {"0.5", "0.50"}, {"0.0005", "0.0005"}, {"1.234567", "1.234567"},
      {"007", "7.00"}, {"1.500", "1.500"},   {"999999999999.999999", "999999999999.999999"},
  };
  for (const auto& c : cases) {
    const auto money = Money::Parse(c.text);
    ASSERT_TRUE(money.ok()) << c.text;
    EXPECT_EQ(money->Format(), c.formatted);
    const auto again = Money::Parse(money->Format());
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, *money);
    EXPECT_EQ(again->Format(), c.formatted);
  }
}

TEST(Money, RefusesWhatIsNoAmount) {
  for (const char* text : {"", ".", ".5", "5.", "1.2.3", "-1", "+1", "1,50", "1e3", " 1", "1 ",
                           "1.1234567", "1000000000000", "R20", "20 ZAR", "0x10"}) {
    const auto money = Money::Parse(text);
    ASSERT_FALSE(money.ok()) << text;
    EXPECT_EQ(money.status().code(), Code::kInvalid);
    EXPECT_NE(money.status().message().find("expected an amount"), std::string::npos);
  }
}

TEST(Money, TimesIsExact) {
  EXPECT_EQ(Money::Parse("20.00")->Times(3)->Format(), "60.00");
  EXPECT_EQ(Money::Parse("0.10")->Times(3)->Format(), "0.30");  // not 0.30000000000000004
  EXPECT_EQ(Money::Parse("0.000001")->Times(1'000'000)->Format(), "1.000000");
  EXPECT_EQ(Money::Parse("5")->Times(0)->Format(), "0.00");
  EXPECT_EQ(Money::Parse("0")->Times(UINT64_MAX)->Format(), "0.00");
  EXPECT_EQ(Money::Parse("0.000001")->Times(UINT64_MAX)->Format(), "18446744073709.551615");
  EXPECT_EQ(Money::Parse("0.000002")->Times(UINT64_MAX).status().code(), Code::kInvalid);
}

}  // namespace
}  // namespace hosting

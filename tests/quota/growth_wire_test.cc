// A warning comes out of its message as it went in; what no warning can be is refused.
#include "quota/growth_wire.h"

#include <gtest/gtest.h>

#include "usage.pb.h"

namespace hosting {
namespace {

GrowthWarning Whole() {
  GrowthWarning warning;
  warning.account = "ex\r\nample\xff.com";
  warning.package = "gold";
  warning.number = 7;
  warning.rule = GrowthRule::kOveragePrice;
  warning.price_threshold = *Money::Parse("12.50");
  warning.level = GrowthLevel::kFull;
  warning.at = 1795000000;
  warning.mail = UINT64_MAX;
  warning.web = 2;
  warning.external = 3;
  warning.limit = 4;
  warning.percent = 5;
  warning.growth_a_day = -6;
  warning.full_on = CalendarDay{2027, 1, 31};
  warning.days_to_full = 8;
  warning.overage = 9;
  warning.price = *Money::Parse("0.0005");
  warning.currency = "ZAR";
  warning.kept_percent = 0;
  return warning;
}

TEST(GrowthWire, ComesBackAsItWas) {
  for (const GrowthWarning& warning : {Whole(), GrowthWarning{}}) {
    wire::GrowthWarning message, parsed;
    Fill(warning, &message);
    ASSERT_TRUE(parsed.ParseFromString(message.SerializeAsString()));
    GrowthWarning taken = Whole();
    ASSERT_TRUE(Take(parsed, &taken));
    EXPECT_EQ(taken, warning);
  }
}

TEST(GrowthWire, RefusesWhatNoWarningIs) {
  wire::GrowthWarning whole;
  Fill(Whole(), &whole);
  const auto refused = [&](void (*change)(wire::GrowthWarning&)) {
    wire::GrowthWarning message = whole;
    change(message);
    GrowthWarning taken;
    return !Take(message, &taken) && taken == GrowthWarning{};
  };
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_rule(0); }));
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_rule(5); }));
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_level(0); }));
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_level(4); }));
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_full_on("2027-1-31"); }));
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_price(""); }));
  EXPECT_TRUE(refused([](wire::GrowthWarning& m) { m.set_price_threshold("-1"); }));
}

}  // namespace
}  // namespace hosting

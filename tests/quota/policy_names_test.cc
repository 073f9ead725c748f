// The system's users and time zones, as the policy file may name them.
#include <gtest/gtest.h>

#include <date/tz.h>

#include "quota/policy_file.h"

namespace hosting {
namespace {

TEST(PolicyNames, Users) {
  const PolicyNames names = PolicyNames::System();
  EXPECT_EQ(names.uid_of("root"), 0U);
  EXPECT_FALSE(names.uid_of("no-such-user-here").has_value());
  EXPECT_FALSE(names.uid_of("").has_value());
}

TEST(PolicyNames, TimeZones) {
  const PolicyNames names = PolicyNames::System();
  for (const char* const zone :
       {"UTC", "Africa/Johannesburg", "Europe/Berlin", "Etc/GMT+5", "America/Port-au-Prince"}) {
    EXPECT_TRUE(names.known_zone(zone)) << zone;
  }
  for (const char* const zone : {"", "Mars/Olympus", "/etc/localtime", "../zoneinfo/UTC",
                                 "Europe/../UTC", "Europe", "Europe/", "posix/UTC", "right/UTC",
                                 "localtime", "tzdata.zi", "zone.tab", "UTC ", "europe/berlin"}) {
    EXPECT_FALSE(names.known_zone(zone)) << zone;
  }
}

// Invoices ask the library for zones that were only looked for as files here.
TEST(PolicyNames, TheLibraryHasTheSameTimeZones) {
  const PolicyNames names = PolicyNames::System();
  const auto& zones = date::get_tzdb().zones;
  EXPECT_GT(zones.size(), 300U);
  for (const date::time_zone& zone : zones) {
    EXPECT_EQ(names.known_zone(zone.name()), zone.name() != "localtime") << zone.name();
  }
}

}  // namespace
}  // namespace hosting

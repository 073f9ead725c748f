#include "quota/network.h"

#include <gtest/gtest.h>

namespace hosting {
namespace {

TEST(Network, WhatIsIn) {
  const struct {
    const char *network, *address;
    bool in;
  } cases[] = {
      {"192.0.2.0/24", "192.0.2.255", true},
      {"192.0.2.0/24", "192.0.3.0", false},
      {"192.0.2.0/24", "::ffff:192.0.2.7", true},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"192.0.2.128/25", "192.0.2.129", true},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.6", false},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::1", false},
      {"2001:db8::1", "2001:db8::1", true},
      {"10.0.0.0/8", "2001:db8::1", false},
      {"0.0.0.0/0", "198.51.100.1", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "198.51.100.1", true},
      // Loopback is in those alone that have nothing else.
      {"0.0.0.0/0", "127.0.0.1", false},
      {"::/0", "127.0.0.1", false},
      {"::/0", "::1", false},
      {"126.0.0.0/7", "127.0.0.1", false},
      {"126.0.0.0/7", "126.0.0.1", true},
      {"127.0.0.0/8", "127.0.0.1", true},
      {"127.0.0.9", "127.0.0.9", true},
      {"127.0.0.9", "127.0.0.1", false},
      {"::1", "::1", true},
  };
  for (const auto& c : cases) {
    const auto network = Network::Parse(c.network);
    const auto address = IpAddress::Parse(c.address);
    ASSERT_TRUE(network && address) << c.network << " " << c.address;
    EXPECT_EQ(network->Contains(*address), c.in) << c.network << " " << c.address;
    EXPECT_EQ(network->text, c.network);
  }
}

TEST(Network, WhatIsNone) {
  for (const char* const text :
       {"", "/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/", "192.0.2.0/8x", "192.0.2",
        "192.0.2.1/24", "2001:db8::/129", "2001:db8::1/64", "example.com", "192.0.2.0 /24",
        "192.0.2.256", ":::"}) {
    EXPECT_FALSE(Network::Parse(text)) << text;
  }
}

}  // namespace
}  // namespace hosting

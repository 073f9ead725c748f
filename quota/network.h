// IP addresses and networks, without any look-up.
//
// Purpose: the policy's exempt networks. Ownership: values. Process and crash rules: none.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hosting {

// IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2), so that both ways of writing one are the same.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  // "192.0.2.1", "2001:db8::1"; nothing when it is none.
  static std::optional<IpAddress> Parse(std::string_view text);
  [[nodiscard]] bool is_loopback() const;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

struct Network {
  IpAddress first;
  uint8_t bits = 0;  // 0 to 128: of the mapped form, so 24 of IPv4 are 120
  std::string text;  // as it was written

  // "192.0.2.0/24", "2001:db8::/32", or an address alone; bits behind the prefix must be zero.
  static std::optional<Network> Parse(std::string_view text);
  // A network that has more than loopback addresses does not have those: whatever runs on the host
  // itself is meant only where that was written.
  [[nodiscard]] bool Contains(const IpAddress& address) const;
  friend bool operator==(const Network&, const Network&) = default;
};

}  // namespace hosting

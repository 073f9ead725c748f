#include "quota/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace hosting {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr uint8_t kMappedBits = 96;

bool SamePrefix(const IpAddress& a, const IpAddress& b, unsigned bits) {
  const size_t whole = bits / 8;
  if (memcmp(a.bytes.data(), b.bytes.data(), whole) != 0) {
    return false;
  }
  const unsigned rest = bits % 8;
  return rest == 0 || ((a.bytes[whole] ^ b.bytes[whole]) >> (8 - rest)) == 0;
}

bool IsMapped(const IpAddress& address) {
  return std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin());
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string terminated(text);
  IpAddress address;
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) {
    return address;
  }
  std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
  if (inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + kMapped.size()) == 1) {
    return address;
  }
  return std::nullopt;
}

bool IpAddress::is_loopback() const {
  constexpr uint8_t kLoopback4 = 127;
  if (IsMapped(*this)) {
    return bytes[kMapped.size()] == kLoopback4;
  }
  return bytes.back() == 1 &&
         std::all_of(bytes.begin(), bytes.end() - 1, [](uint8_t byte) { return byte == 0; });
}

std::optional<Network> Network::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view before = text.substr(0, slash);
  const auto first = IpAddress::Parse(before);
  if (!first) {
    return std::nullopt;
  }
  const bool v4 = before.find(':') == std::string_view::npos;
  const unsigned most = v4 ? 32 : 128;
  unsigned bits = most;
  if (slash != std::string_view::npos) {
    const std::string_view after = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(after.data(), after.data() + after.size(), bits);
    if (error != std::errc() || end != after.data() + after.size() || bits > most) {
      return std::nullopt;
    }
  }
  bits += v4 ? kMappedBits : 0;
  IpAddress masked = *first;
  for (unsigned bit = bits; bit < 128; ++bit) {
    masked.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80U >> (bit % 8)));
  }
  if (masked != *first) {
    return std::nullopt;
  }
  return Network{*first, static_cast<uint8_t>(bits), std::string(text)};
}

bool Network::Contains(const IpAddress& address) const {
  if (!SamePrefix(first, address, bits)) {
    return false;
  }
  constexpr unsigned kLoopback4Bits = kMappedBits + 8;
  const bool only_loopback =
      first.is_loopback() && bits >= (IsMapped(first) ? kLoopback4Bits : 128);
  return only_loopback || !address.is_loopback();
}

}  // namespace hosting

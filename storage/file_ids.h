// Names of files that are ids: packs and large bodies.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lbox {

inline constexpr size_t kPackNameDigits = 8, kLargeNameDigits = 16;

// The id in a file name of exactly `digits` lower-case hex digits.
inline std::optional<uint64_t> FileIdOf(std::string_view name, size_t digits) {
  if (name.size() != digits ||
      name.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  uint64_t id = 0;
  std::from_chars(name.data(), name.data() + name.size(), id, 16);
  return id;
}

}  // namespace lbox

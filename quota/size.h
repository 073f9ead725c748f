// Sizes and durations as people write them: "10G", "90 min".
//
// Purpose: what the policy file, userdb fields and doveadm's arguments share. Ownership: values.
// Process and crash rules: none. Failure modes: kInvalid, with a text that says what is expected.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quota/status.h"

namespace hosting {

// The largest size that is read (1,024 P): so sums of a few cannot overflow.
constexpr uint64_t kMaxSize = 1ULL << 60;
// The longest duration that is read: ten years.
constexpr uint32_t kMaxDuration = 10 * 366 * 86400;

// Bytes: "10G", "512M", "100k", "3T", "1P", "4096"; k is 2^10, M 2^20, G 2^30, T 2^40, P 2^50. The
// letter in either case, a blank before it allowed; 0 to kMaxSize.
Result<uint64_t> ParseSize(std::string_view text);
// The same, and "none" for 0; 0 itself is refused, since it could be meant either way.
Result<uint64_t> ParseLimit(std::string_view text);
// What ParseSize reads as exactly this: "10G", "1000".
std::string FormatSize(uint64_t bytes);

// Seconds: "2 days", "90 min", "1h", "30s", "1 week", with or without a blank and the plural; a
// unit is needed. 0 to kMaxDuration.
Result<uint32_t> ParseDuration(std::string_view text);
// What ParseDuration reads as exactly this: "2 days", "90 min".
std::string FormatDuration(uint32_t seconds);

}  // namespace hosting

// Files whose names are ids, packs and large bodies: the ids of their names, and which of them rows
// name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "storage/status.h"

namespace lbox {

class Txn;

inline constexpr size_t kPackNameDigits = 8, kLargeNameDigits = 16;

// The id in a file name of exactly `digits` lower-case hex digits.
std::optional<uint64_t> FileIdOf(std::string_view name, size_t digits);

struct NamedFiles {
  std::unordered_set<uint64_t> packs, bodies;
};
// What the rows of packs and, with `large`, of bodies name, in place of what was in *named.
Status ReadNamedFiles(Txn& txn, bool large, NamedFiles* named);

}  // namespace lbox

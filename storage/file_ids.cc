#include "storage/file_ids.h"

#include <charconv>

#include "storage/status_macros.h"
#include "storage/txn.h"

namespace lbox {

std::optional<uint64_t> FileIdOf(std::string_view name, size_t digits) {
  if (name.size() != digits ||
      name.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  uint64_t id = 0;
  std::from_chars(name.data(), name.data() + name.size(), id, 16);
  return id;
}

Status ReadNamedFiles(Txn& txn, bool large, NamedFiles* named) {
  *named = {};
  LBOX_RETURN_IF_ERROR(txn.ForEachPack([&](uint32_t id, const PackRow&) -> Status {
    named->packs.insert(id);
    return {};
  }));
  if (!large) {
    return {};
  }
  return txn.ForEachBody([&](uint64_t, const BodyRow& row) -> Status {
    if (row.large_id != 0) {
      named->bodies.insert(row.large_id);
    }
    return {};
  });
}

}  // namespace lbox

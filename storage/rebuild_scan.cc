#include "storage/rebuild_scan.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "storage/status_macros.h"

namespace lbox {
namespace {

class PackReader {
 public:
  PackReader(PacksFound& found, uint32_t id) : found_(found) { pack_.id = id; }

  Status Read(File& file) {
    LBOX_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
    bytes_.resize(std::min<uint64_t>(size, UINT32_MAX));
    LBOX_ASSIGN_OR_RETURN(const size_t got, file.ReadAt(0, bytes_.data(), bytes_.size()));
    bytes_.resize(got);
    for (size_t at = 0; at + kPackRecordFixedBytes <= bytes_.size();) {
      const uint64_t span = RecordAt(at);
      at += span != 0 ? span : kPackAlignment;
    }
    found_.packs.push_back(pack_);
    return {};
  }

 private:
  // Its length, 0 when there is none.
  uint64_t RecordAt(size_t at) {
    const auto data = std::span<const uint8_t>(bytes_).subspan(at);
    const auto at_place = FindRecordAt(data, found_.store, pack_.id, at);
    if (!at_place.has_value()) {
      return 0;
    }
    found_.store = at_place->record.store;
    found_.records.push_back(at_place->found);
    const uint64_t span = at_place->found.span;
    pack_.damaged += at - pack_.end;
    pack_.end = at + span;
    pack_.records++;
    return span;
  }

  PacksFound& found_;
  FoundPack pack_;
  std::vector<uint8_t> bytes_;
};

}  // namespace

std::string PackPathOf(const std::string& folder, uint32_t id) {
  char name[16];
  snprintf(name, sizeof(name), "/p/%08" PRIx32, id);
  return folder + name;
}

Result<PacksFound> ScanPacks(Env& env, const std::string& folder, const Guid& store) {
  std::vector<uint32_t> ids;
  LBOX_RETURN_IF_ERROR(env.List(folder + "/p", [&](const std::string& name) {
    uint32_t id = 0;
    const char* const end = name.data() + name.size();
    const auto result = std::from_chars(name.data(), end, id, 16);
    if (name.size() == 8 && result.ec == std::errc() && result.ptr == end &&
        PackPathOf(folder, id).ends_with(name)) {
      ids.push_back(id);
    }
  }));
  std::sort(ids.begin(), ids.end());
  PacksFound found;
  found.store = store;
  for (const uint32_t id : ids) {
    LBOX_ASSIGN_OR_RETURN(const auto file, env.OpenRead(PackPathOf(folder, id)));
    LBOX_RETURN_IF_ERROR(PackReader(found, id).Read(*file));
  }
  return found;
}

Result<PackRecord> ReadFoundRecord(Env& env, const std::string& folder, const FoundRecord& record) {
  LBOX_ASSIGN_OR_RETURN(const auto file, env.OpenRead(PackPathOf(folder, record.pack)));
  std::vector<uint8_t> header(record.header_bytes);
  LBOX_ASSIGN_OR_RETURN(const size_t got,
                        file->ReadAt(record.offset, header.data(), header.size()));
  return DecodePackRecord(std::span<const uint8_t>(header).first(got));
}

}  // namespace lbox

// Walking through the records of a pack, from the first to its committed tail.
//
// Reads headers, not frames. Failure: kCorruption, naming the file and the offset, when what is
// there is no chain of records of this store that ends exactly at the tail.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "storage/env.h"
#include "storage/pack_record.h"
#include "storage/status.h"

namespace lbox {

struct PackScan {
  File& file;
  std::string path;
  uint64_t tail = 0;
  Guid store;
};

// `check` is PackRecordCheck of the header.
using PackVisitor = std::function<Status(uint64_t offset, uint64_t span, const PackRecord& record,
                                         size_t header_bytes, uint32_t check)>;
Status ScanPack(const PackScan& scan, const PackVisitor& visit);

}  // namespace lbox

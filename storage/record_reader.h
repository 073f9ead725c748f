// A record in a pack, read at the place that a body row names, and compared with that row.
//
// What serves mail and what verifies it read through this, so that both mean the same by "damaged".
// Ownership: the options share the pack's open file. Failure: kNotFound: no such pack. kCorruption:
// something else is there than the row says. Both may come from a pack that was rewritten after the
// row was read.
#pragma once

#include <cstdint>

#include "storage/body_reader.h"
#include "storage/pack_files.h"
#include "storage/rows.h"
#include "storage/status.h"

namespace lbox {

// Where a message's body is, as one read transaction sees it.
struct RecordPlace {
  uint64_t body_id = 0;
  BodyRow body;
  Guid store;
};

// Record and header frame; of the options `open_large`, `context` and `keep_alive` are left to the
// caller.
Result<BodyReaderOptions> ReadRecord(PackFiles& packs, const RecordPlace& place,
                                     BodyPart wanted = BodyPart::kAll);

}  // namespace lbox

// A record found in a pack without the index's help, and the rows that it stands for.
//
// Whoever makes rows from packs goes through this: rebuilding an index, and doing again what a
// power cut took from it. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "storage/keywords.h"
#include "storage/pack_record.h"
#include "storage/rows.h"
#include "storage/types.h"

namespace lbox {

struct FoundRecord {
  uint64_t transaction = 0;
  uint64_t body_id = 0;
  uint32_t pack = 0, offset = 0;
  uint32_t span = 0;  // bytes, padding included
  uint32_t header_bytes = 0;
  uint32_t check = 0;  // PackRecordCheck
  uint32_t uid = 0;
  bool frames_whole = false;  // their hashes are right, those in this pack
};

struct RecordAt {
  PackRecord record;
  FoundRecord found;
};

// The record that begins where `data` does, at `offset` of a pack; `data` may go on behind it.
// Nothing when there is none, or not all of it, or another store's than `store` (empty: any).
std::optional<RecordAt> FindRecordAt(std::span<const uint8_t> data, const Guid& store,
                                     uint32_t pack, uint64_t offset);

// The body row, with one reference.
BodyRow BodyRowOf(const FoundRecord& found, const PackRecord& record);

// The message row, and what goes with it; `keywords` are the mailbox's, new names are added.
struct MessageRows {
  Message message;
  MessageExtra extra;
};
Result<MessageRows> MessageRowsOf(const PackRecord& record, Keywords& keywords);

}  // namespace lbox

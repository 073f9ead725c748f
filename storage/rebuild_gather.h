// What is left of a store whose index is lost: index copy, journals, packs; put in order.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "storage/index_copy.h"
#include "storage/journal_record.h"
#include "storage/rebuild.h"
#include "storage/rebuild_scan.h"
#include "storage/rows.h"

namespace lbox {

struct Remainders {
  Guid uuid;
  std::optional<IndexCopyInfo> copy;  // when it is good
  MetaRow copy_meta;                  // of the copy
  uint64_t copy_rows = 0;
  std::vector<JournalFrame> frames;  // of later transactions, ascending
  uint32_t last_journal = 0;         // highest number there
  bool journal_missing = false;      // that which should have what came after the copy
  uint32_t last_boot = 0;            // in which the last frame was written, or else the copy taken
  std::vector<FoundPack> packs;
  std::unordered_map<uint64_t, FoundRecord> places;  // body id -> its record
  std::vector<FoundRecord> saves;  // records of transactions after the copy, ascending
  uint64_t highest_transaction = 0, highest_body = 0;  // of whatever was seen
};

// `uuid`: of the store, empty if not known. kNotFound when nothing of a store is there. Fills the
// report's part about these.
Result<Remainders> GatherRemainders(Env& env, const std::string& folder, const Guid& uuid,
                                    RebuildReport& report);

}  // namespace lbox

// Making a new index for a store whose index is lost or unreadable.
//
// Purpose: from index.copy (if it is good; else from nothing), the records in the packs and the
// journal, in the order of their transactions (docs/format.md, "Rebuilding"). What the packs hold
// is found by reading them all, so it takes about as long as reading the store.
// Processes: takes the store's exclusive lock; waits for whoever has it. The calling process must
// not have the store open. Processes that have, notice with their next transaction and go on with
// the new index.
// Failure: kNotFound when there is no store at all; else as the file system says. Nothing is lost
// by a failure: call it again.
// Crash rule: the old index is removed from its place only when the new one is complete and
// durable. A cut before leaves the store as it was; a cut between, one whose index is missing:
// rebuild again. Nothing is the only copy of anything and removed: the old index, and packs in
// which nothing is legible, are moved to the quarantine folder; other packs stay as they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/store.h"
#include "storage/types.h"

namespace lbox {

// One message that was lost, or that may not be as it was.
struct RebuildMessage {
  Guid mailbox;
  uint32_t uid = 0;  // 0: it had no UID that it could keep
  Guid guid;
  std::string text;  // what is wrong, for the report
};

struct RebuildMailbox {
  Guid guid;
  std::string name;  // storage name, "lost-<GUID>" when unknown
  bool name_known = true;
  bool uid_validity_kept = true;  // false: nobody knew it, clients will read it all anew
  uint32_t uid_validity = 0;
  uint32_t next_uid = 0;
  uint64_t messages = 0;  // in it now
  uint64_t lost = 0;      // of those that were in it: their bodies are not in the store any more
  uint64_t doubtful = 0;  // of `messages`: see RebuildReport::doubtful
};

inline constexpr size_t kMaxRebuildMessages = 100'000;  // told of each kind; counts are exact

struct RebuildReport {
  uint64_t old_generation = 0;  // 0: unknown
  uint64_t new_generation = 0;
  bool copy_used = false;
  uint64_t copy_transaction = 0;  // the last that it has
  int64_t copy_time = 0;          // seconds since 1970 UTC
  uint64_t journal_records = 0;   // that were used
  // Something is missing in the journal: what was removed after that is back.
  bool journal_gap = false;
  // The journal's last seconds may be missing (the machine was booted since): next UIDs have
  // jumped ahead.
  bool tail_doubtful = false;
  uint64_t removals_left_out = 0;  // expunges and removed mailboxes that were not done again
  uint64_t records = 0;            // legible ones in packs, dead ones included
  uint64_t damaged_bytes = 0;      // of packs, between legible records
  uint64_t messages = 0;           // in the store now
  std::vector<RebuildMailbox> mailboxes;
  // Gone: the index copy or the journal knew it, and its body is not in the store. With a journal
  // gap, this may be messages that were expunged.
  std::vector<RebuildMessage> lost;
  uint64_t lost_count = 0;
  // There, but: perhaps it had been expunged; or it lacks later changes; or nobody knew its place.
  std::vector<RebuildMessage> doubtful;
  uint64_t doubtful_count = 0;
  std::vector<std::string> notes;  // damaged and missing files and the like, one line each
  std::string quarantine;          // folder with what was set aside and report.txt
};

// The report as text for an operator, lines ended by LF.
std::string ToText(const RebuildReport& report);

// `options.create` is not looked at. `report` is filled also on failure, as far as it came.
Status RebuildIndex(const StoreOptions& options, RebuildReport* report);

}  // namespace lbox

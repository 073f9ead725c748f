// Frames of the journal: bytes <-> values. docs/format.md has the byte tables.
//
// Purpose: a frame holds what a transaction did to a mailbox that no pack record tells, logically:
// the list of changes, the copies. No I/O here. Failure: Decode gives kCorruption for anything that
// is not a whole frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

// A message that shares the body of another.
struct JournalCopy {
  Message message;  // without keyword_bits and has_extra
  std::vector<std::string> keywords;
  std::string original_guid, pop3_uidl;
  uint32_t pop3_order = 0;
  Guid source_mailbox;
  uint32_t source_uid = 0;
};

// What a mailbox has become.
struct JournalState {
  Guid guid;
  std::string name;
  uint32_t uid_validity = 0, first_recent_uid = 0;
  uint64_t modseq_ceiling = 0;
};

struct JournalRecord {
  Guid mailbox;                 // as it was called before
  uint32_t next_uid = 0;        // afterwards
  uint32_t saved = 0;           // records in packs of the same transaction
  std::vector<Change> changes;  // those that had an effect, each cut to the UIDs that it was given
  std::vector<JournalCopy> copies;
  std::optional<JournalState> state;
  bool removed = false;

  // Nothing that packs do not tell.
  [[nodiscard]] bool empty() const {
    return changes.empty() && copies.empty() && !state.has_value() && !removed;
  }
};

struct JournalFrame {
  uint64_t transaction = 0;
  uint64_t previous = 0;  // transaction of the frame before it
  Guid store;
  uint32_t boot = 0;  // 0: unknown
  JournalRecord record;
};

inline constexpr size_t kJournalFrameBytes = 56;  // without the payload
inline constexpr size_t kJournalAlignment = 8;    // frames start at multiples of this
inline constexpr size_t kMaxJournalPayloadBytes = 64 * 1024 * 1024;

// With its padding. kInvalid when the record is too long.
Result<std::string> EncodeJournalFrame(const JournalFrame& frame);
// Bytes of the frame at `data`, padding included, of which only kJournalFrameBytes need be there;
// kCorruption when there is none.
Result<size_t> JournalFrameSpan(std::span<const uint8_t> data);
// `data` holds the whole frame.
Result<JournalFrame> DecodeJournalFrame(std::span<const uint8_t> data);

}  // namespace lbox

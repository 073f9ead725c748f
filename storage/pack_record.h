// Records of packs and headers of large-body files: bytes <-> values. docs/format.md has the byte
// tables.
//
// Purpose: a pack record holds everything about a message as saved, so that an index can be rebuilt
// from packs.
// No I/O here. Failure: Decode gives kCorruption for anything that is not exactly what Encode
// writes, kUnsupported for what a newer version of lbox wrote (whole, as its hash shows).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

// kOpaque: the body frame holds the bytes as they came.
enum class Codec : uint8_t { kZstd = 0, kOpaque = 1 };

struct PackRecord {
  Guid store;                                 // UUID of the store that wrote it
  uint64_t transaction = 0;                   // the store's own transaction counter
  uint32_t batch_index = 0, batch_count = 0;  // record n of m of its transaction
  uint64_t body_id = 0;
  Guid mailbox;
  uint32_t uid = 0;
  Guid guid;
  uint8_t flags = 0;
  Cause cause = Cause::kUnknown;
  Codec codec = Codec::kZstd;
  uint8_t dictionary = 0;  // 0: none; no other value in this format
  int64_t received = 0;
  uint32_t saved = 0;
  uint32_t physical_size = 0, virtual_size = 0;
  uint32_t header_size = 0;    // raw bytes in the header frame
  uint32_t header_stored = 0;  // stored bytes of the header frame, follows the record header
  // Stored bytes of the body frame; follows the header frame unless large_id != 0.
  uint32_t body_stored = 0;
  uint64_t header_hash = 0, body_hash = 0;  // XXH3-64 of the stored bytes of each frame
  uint64_t large_id = 0;                    // != 0: the body frame is in file l/<16 hex digits>
  std::vector<std::string> keywords;
  std::string original_guid, pop3_uidl;
  uint32_t pop3_order = 0;
  uint32_t uid_validity = 0;  // of the mailbox; 0 in records of format 1
  std::string mailbox_name;   // storage name, empty in records of format 1
};

// See docs/format.md; the variable part (protobuf) follows, then the frames.
inline constexpr size_t kPackRecordFixedBytes = 192;
inline constexpr size_t kMaxPackRecordHeaderBytes = 16 * 1024 * 1024;
inline constexpr size_t kPackAlignment = 8;  // records start at multiples of this

// Record header (fixed and variable part, sealed by its checksum). Frames follow it directly.
std::string EncodePackRecord(const PackRecord& record);
// Bytes of the record header at `data`, of which only kPackRecordFixedBytes need be there;
// kCorruption when it is no header.
Result<size_t> PackRecordHeaderBytes(std::span<const uint8_t> data);
// `data` holds the whole record header (at least PackRecordHeaderBytes).
Result<PackRecord> DecodePackRecord(std::span<const uint8_t> data);
// Low 32 bits of the header's own hash, which a BodyRow repeats. `data` holds at least
// kPackRecordFixedBytes.
uint32_t PackRecordCheck(std::span<const uint8_t> data);
// Bytes from the start of this record to the start of the next: header, frames present in the pack,
// padding.
uint64_t PackRecordSpan(size_t header_bytes, const PackRecord& record);

struct LargeHeader {
  uint64_t large_id = 0;
  uint64_t body_stored = 0;
  uint64_t body_hash = 0;  // XXH3-64 of what follows
};
inline constexpr size_t kLargeHeaderBytes = 64;
std::string EncodeLargeHeader(const LargeHeader& header);
Result<LargeHeader> DecodeLargeHeader(std::span<const uint8_t> data);

}  // namespace lbox

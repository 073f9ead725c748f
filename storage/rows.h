// Rows of the index: fixed little-endian structs and, for cold values, protobuf; each sealed by a
// checksum (low 32 bits of XXH3-64). docs/format.md has the byte tables. No I/O. Failure: Decode
// gives kCorruption (length or checksum wrong, reserved bytes in use); that of the meta row
// kUnsupported when a newer lbox wrote it.
//
// Tables (named LMDB databases) of index.<gen>:
//   meta          key "store"                     -> MetaRow
//   mailbox       key mailbox id (u32, big-endian) -> MailboxRow
//   mailbox_cold  same key                        -> MailboxCold (protobuf: storage name, keywords)
//   mailbox_guid  key GUID                        -> mailbox id (u32, big-endian)
//   message       key mailbox id (u32, big-endian), MDB_DUPSORT|MDB_DUPFIXED -> MessageRow;
//                 first 4 bytes: UID big-endian, so that rows sort by UID
//   extra         key mailbox id, uid (both big-endian) -> MessageExtra (protobuf)
//   body          key body id (u64, MDB_INTEGERKEY) -> BodyRow
//   pack          key pack id (u32, MDB_INTEGERKEY) -> PackRow
//   pending       key kind (u8: 1 pack, 2 large body), id (u64 big-endian) -> empty: to unlink
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "storage/pack_record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

inline constexpr uint32_t kStoreFormat = 2;  // what this version writes
// Without journal and index copy; upgraded when opened (storage/upgrade.h).
inline constexpr uint32_t kFirstStoreFormat = 1;

// Every row of every format ends with its checksum; whether that is right.
bool RowSealed(std::span<const uint8_t> row);

struct MetaRow {
  uint32_t format = kStoreFormat;
  Guid uuid;
  uint64_t transaction = 0;  // T: write transactions of this store, across generations
  uint64_t next_body_id = 1;
  uint32_t next_mailbox_id = 1;
  uint32_t next_pack_id = 1;
  uint32_t active_pack = 0;  // 0: none; the next save starts one
  bool superseded = false;   // a newer generation exists; reopen CURRENT
  uint64_t messages = 0, physical_bytes = 0, virtual_bytes = 0;
  uint64_t stored_bytes = 0;                     // each body once
  uint64_t pack_live_bytes = 0, pack_bytes = 0;  // sums over PackRow
  uint64_t large_count = 0, large_bytes = 0;
  // Zero in format 1.
  uint64_t copied = 0;        // last transaction that index.copy has; 0: there is none
  uint64_t journaled = 0;     // last transaction that is, or should be, in the journal
  uint32_t journal = 0;       // number of the journal in use
  uint32_t journal_tail = 0;  // committed bytes of it
  uint32_t changed = 0;       // message rows added, changed, removed since `copied`
  uint32_t copied_at = 0;     // seconds since 1970 UTC
  uint32_t boot = 0;  // BootOf (storage/journal.h) when the journal was begun; 0: or a frame lacks
};
inline constexpr size_t kMetaRowBytes = 160;
std::array<uint8_t, kMetaRowBytes> Encode(const MetaRow& row);
Result<MetaRow> DecodeMetaRow(std::span<const uint8_t> data);

struct MailboxRow {
  Guid guid;
  uint32_t uid_validity = 0, next_uid = 1, first_recent_uid = 1;
  uint64_t modseq_ceiling = 0, change = 0;
  uint64_t messages = 0, physical_bytes = 0, virtual_bytes = 0, stored_bytes = 0;
};
inline constexpr size_t kMailboxRowBytes = 96;
std::array<uint8_t, kMailboxRowBytes> Encode(const MailboxRow& row);
Result<MailboxRow> DecodeMailboxRow(std::span<const uint8_t> data);

// DUPFIXED: 66 bytes a message measured, scan 3 ns (docs/design.md)
inline constexpr size_t kMessageRowBytes = 64;
// `mailbox`: the id under which the row is kept. It is part of the check: where a damaged index
// leads to the rows of another mailbox, they are not taken for this one's.
std::array<uint8_t, kMessageRowBytes> Encode(const Message& row, uint32_t mailbox);
Result<Message> DecodeMessageRow(std::span<const uint8_t> data, uint32_t mailbox);
bool MessageRowSealed(std::span<const uint8_t> data, uint32_t mailbox);

struct BodyRow {
  // Pack that holds the record (header frame, and the body frame unless large_id != 0).
  uint32_t pack = 0;
  uint32_t offset = 0;        // of the record in the pack
  uint32_t record_bytes = 0;  // span in the pack, padding included: what becomes dead with it
  uint32_t record_header_bytes = 0;
  uint32_t references = 0;  // messages that share it
  uint32_t body_stored = 0;
  uint64_t large_id = 0;
  // Low 32 bits of the record header's own hash: a row must match its record.
  uint32_t header_check = 0;
};
inline constexpr size_t kBodyRowBytes = 40;
std::array<uint8_t, kBodyRowBytes> Encode(const BodyRow& row);
Result<BodyRow> DecodeBodyRow(std::span<const uint8_t> data);

struct PackRow {
  uint64_t tail = 0;        // committed bytes; anything beyond is garbage
  uint64_t live_bytes = 0;  // spans of records with a body row
  uint32_t live_count = 0;
  uint32_t created = 0;  // seconds since 1970 UTC
};
inline constexpr size_t kPackRowBytes = 32;
std::array<uint8_t, kPackRowBytes> Encode(const PackRow& row);
Result<PackRow> DecodePackRow(std::span<const uint8_t> data);

// Cold values, protobuf (storage/cold.proto).
struct MailboxCold {
  std::string name;
  std::vector<std::string> keywords;
};
std::string EncodeCold(const MailboxCold& cold);
Result<MailboxCold> DecodeMailboxCold(std::span<const uint8_t> data);
std::string EncodeCold(const MessageExtra& extra);
Result<MessageExtra> DecodeMessageExtra(std::span<const uint8_t> data);

}  // namespace lbox

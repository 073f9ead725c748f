// Values that the store takes and gives. Plain data; no behaviour beyond what is declared here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lbox {

class StagedBody;

inline constexpr uint32_t kBatchRows =
    5000;  // rows changed per transaction by Apply: copy-on-write otherwise doubles the index

struct Guid {
  std::array<uint8_t, 16> bytes{};
  bool operator==(const Guid&) const = default;
  auto operator<=>(const Guid&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14
  [[nodiscard]] bool empty() const { return *this == Guid{}; }
};
std::string ToHex(const Guid& guid);  // 32 lower-case digits

// Why a message came into the mailbox. Values are on disk.
enum class Cause : uint8_t { kUnknown = 0, kDelivered = 1, kImap = 2, kCopy = 3, kImport = 4 };

struct MailboxInfo {
  Guid guid;
  std::string name;  // full storage name at the last create or rename
  uint32_t uid_validity = 0;
  uint32_t next_uid = 1;
  uint32_t first_recent_uid = 1;
  uint64_t modseq_ceiling = 0;  // no modseq above this was ever shown to a client
  uint64_t change =
      0;  // grows with every transaction that changed messages (all but Message::retrieved, which
          // no index mirrors), GUID, UIDVALIDITY or next UID
  std::vector<std::string> keywords;  // bit i of Message::keyword_bits and number i in
                                      // MessageExtra::keywords is keywords[i]
  uint64_t messages = 0;
  uint64_t physical_bytes = 0;  // as saved
  uint64_t virtual_bytes = 0;   // with every line ending CRLF
  uint64_t stored_bytes =
      0;  // compressed, records included; a body shared by COPY counts in each mailbox
};

struct MailboxCreate {
  Guid guid;
  std::string name;
  uint32_t uid_validity = 0;
  uint32_t next_uid = 1;
  uint32_t first_recent_uid = 1;
  uint64_t modseq_ceiling = 0;
};

// Unset: unchanged. The `min_` values only ever raise.
struct MailboxUpdate {
  std::optional<Guid> guid;
  std::optional<std::string> name;
  std::optional<uint32_t> uid_validity;
  uint32_t min_next_uid = 0;
  uint32_t min_first_recent_uid = 0;
  uint64_t min_modseq_ceiling = 0;
};

struct Message {
  uint32_t uid = 0;
  uint64_t body_id = 0;
  Guid guid;                   // 128-bit GUID, or the hash of MessageExtra::original_guid
  int64_t received = 0;        // INTERNALDATE, seconds since 1970 UTC
  uint32_t saved = 0;          // SAVEDATE, seconds since 1970 UTC
  uint32_t physical_size = 0;  // bytes as saved, before any plugin's own encoding
  uint32_t virtual_size = 0;   // bytes with every line ending CRLF
  uint32_t retrieved = 0;      // when POP3 first fetched it whole, seconds since 1970 UTC; 0: never
                               // (a copy has not been fetched)
  uint32_t keyword_bits = 0;   // the first 32 keywords of the mailbox
  uint8_t flags = 0;           // \Answered 0x01 \Flagged 0x02 \Deleted 0x04 \Seen 0x08 \Draft 0x10
                               // (Dovecot's enum mail_flags); \Recent never
  Cause cause = Cause::kUnknown;
  bool has_extra = false;
};

struct MessageExtra {
  std::string original_guid;       // when the GUID is not 32 hex digits (Maildir base names)
  std::string pop3_uidl;           // UIDL given by another server or storage; empty: none
  uint32_t pop3_order = 0;         // 0: none
  std::vector<uint32_t> keywords;  // numbers >= 32
};

// One message to save. Exactly one of `staged` and `source_uid` is set.
struct NewMessage {
  StagedBody* staged = nullptr;  // not owned; taken over by a Save that succeeds
  Guid source_mailbox;           // or: COPY, sharing the body of this message of the same store
  uint32_t source_uid = 0;       // kNotFound from Save when it is gone

  uint32_t wanted_uid = 0;  // 0: assign one; see below
  Guid guid;
  int64_t received = 0;
  uint32_t saved = 0;
  uint8_t flags = 0;
  std::vector<std::string> keywords;
  std::string original_guid;
  std::string pop3_uidl;
  uint32_t pop3_order = 0;
  Cause cause = Cause::kUnknown;

  uint32_t uid = 0;  // out
};

// UIDs of a batch: first = max(min_uid, the mailbox's next UID); next = the higher of first and
// every wanted_uid + 1. A wanted_uid
// >= first is kept, each other message gets next++, in order: what Dovecot's
// mail_index_append_finish_uids(first) does, so that the caller's index agrees. Sets `uid` of each;
// returns first. The mailbox's next UID is afterwards the highest uid + 1.

struct Change {
  enum class Kind : uint8_t {
    kFlags,
    kKeywordAdd,
    kKeywordRemove,
    kExpunge,
    kPop3Uidl,
    kRetrieved  // POP3 fetched it whole at `time`; the first time stays
  };
  Kind kind = Kind::kFlags;
  uint32_t uid1 = 0, uid2 = 0;  // inclusive range
  uint8_t add_flags = 0, remove_flags = 0;
  std::string text;   // keyword name, or the new POP3 UIDL
  uint32_t time = 0;  // of kRetrieved, seconds since 1970 UTC
};

struct SaveResult {
  uint32_t first_uid = 0;  // see above
  uint32_t uid_validity = 0;
  uint64_t change = 0;  // the mailbox's change counter after the transaction
};

struct ApplyResult {
  uint64_t before = 0;    // the mailbox's change counter before the first transaction
  uint64_t change = 0;    // and after the last
  uint64_t expunged = 0;  // messages removed
};

struct StoreStatus {
  uint64_t mailboxes = 0, messages = 0;
  uint64_t physical_bytes = 0, virtual_bytes = 0;
  uint64_t stored_bytes = 0;     // live records and large bodies, each body once
  uint64_t dead_bytes = 0;       // in packs
  uint64_t allocated_bytes = 0;  // st_blocks * 512 of all files of the store
  uint64_t packs = 0, large_bodies = 0;
  uint64_t index_bytes = 0;       // size of the index file
  uint64_t index_free_bytes = 0;  // of it, free pages
  uint64_t map_bytes = 0, map_limit_bytes = 0;
  uint32_t format = 0;
  uint64_t generation = 0;
  Guid uuid;
};

struct StoreTotals {
  Guid uuid;
  uint64_t transaction = 0;  // write transactions of this store so far: orders its totals
  uint64_t messages = 0;
  uint64_t virtual_bytes = 0;  // with every line ending CRLF
  uint64_t disk_bytes = 0;     // of packs, dead space included, and large bodies; without the index
};

}  // namespace lbox

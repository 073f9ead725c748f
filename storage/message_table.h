// The message table: rows of 64 bytes, sorted by UID under each mailbox's key.
//
// Purpose: the one place that knows LMDB's DUPFIXED pages. A key with many values is a tree of
// pages of packed rows (63 to a page), a key with a few is a small page inside its parent, a key
// with one value is that value alone, without a sub-cursor: each needs its own care, and so a model
// test of its own (tests/unit/message_table_test.cc). Ownership and failure: as Txn.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include <lmdb.h>

#include "storage/status.h"
#include "storage/txn.h"
#include "storage/types.h"

namespace lbox {

// The row of one message. kNotFound when there is none.
Result<Message> FindMessage(Txn& txn, uint32_t mailbox, uint32_t uid);

// Adds a row whose UID is above all of the mailbox.
Status AppendMessage(Txn& txn, uint32_t mailbox, const Message& message);

// Adds a row at its place, wherever that is. There must be none with its UID.
Status InsertMessage(Txn& txn, uint32_t mailbox, const Message& message);

// Visits rows with first <= uid <= last in ascending order until visit returns false or a failure,
// which it passes on. Reads whole pages.
Status ScanMessages(Txn& txn, uint32_t mailbox, uint32_t first, uint32_t last,
                    const std::function<Result<bool>(const Message&)>& visit);

// Walks rows of one mailbox in a write transaction, changing or removing them on the way. No other
// access to the message table while one is in use.
class MessageCursor {
 public:
  MessageCursor(Txn& txn, uint32_t mailbox);
  ~MessageCursor();
  MessageCursor(const MessageCursor&) = delete;
  MessageCursor& operator=(const MessageCursor&) = delete;

  // The first row with a UID of at least `uid`; false when there is none.
  Result<bool> Seek(uint32_t uid);
  // The row after the present one, which must not have been removed.
  Result<bool> Next();
  [[nodiscard]] const Message& message() const { return message_; }
  // Replaces the present row; its UID stays.
  Status Update(const Message& message);
  // Removes the present row; go on with Seek.
  Status Remove();

 private:
  Result<bool> Accept(int rc, const MDB_val& value, const char* action);

  Txn& txn_;
  MDB_cursor* cursor_ = nullptr;
  uint32_t mailbox_;
  std::array<uint8_t, 4> key_;
  Message message_;
};

}  // namespace lbox

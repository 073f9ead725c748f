#include "storage/message_table.h"

#include <array>
#include <memory>

#include "storage/coding.h"
#include "storage/rows.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

using Key = std::array<uint8_t, 4>;

Key MailboxKey(uint32_t mailbox) {
  Key key;
  StoreBig(key.data(), mailbox);
  return key;
}

// Sorts before every row with this UID and after every row with a lower one.
using Bound = std::array<uint8_t, kMessageRowBytes>;
Bound LowerBound(uint32_t uid) {
  Bound bound{};
  StoreBig(bound.data(), uid);
  return bound;
}

template <size_t kSize>
MDB_val Val(std::array<uint8_t, kSize>& bytes) {
  return {bytes.size(), bytes.data()};
}

std::string Name(uint32_t mailbox, uint32_t uid) {
  return "mailbox " + std::to_string(mailbox) + " uid " + std::to_string(uid);
}

uint32_t UidOf(const uint8_t* row) {
  return LoadBig<uint32_t>(row);
}

// The row at `row`, or what is wrong with it.
Result<Message> Decode(Txn& txn, uint32_t mailbox, const uint8_t* row) {
  auto message = DecodeMessageRow({row, kMessageRowBytes}, mailbox);
  if (!message.ok()) {
    return Status(message.status().code(), txn.index().path() + ": " + Name(mailbox, UidOf(row)) +
                                               ": " + message.status().message());
  }
  return message;
}

struct CursorCloser {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};
using Cursor = std::unique_ptr<MDB_cursor, CursorCloser>;

Result<Cursor> OpenCursor(Txn& txn) {
  MDB_cursor* cursor = nullptr;
  const int rc = mdb_cursor_open(txn.raw(), txn.tables().message, &cursor);
  if (rc != 0) {
    return txn.Failed(rc, "opening the message table");
  }
  return Cursor(cursor);
}

Status WrongSize(Txn& txn, uint32_t mailbox) {
  return Status(Code::kCorruption, txn.index().path() + ": mailbox " + std::to_string(mailbox) +
                                       ": message rows of the wrong size");
}

Status Put(Txn& txn, uint32_t mailbox, const Message& message, unsigned int flags) {
  Key key = MailboxKey(mailbox);
  auto row = Encode(message, mailbox);
  MDB_val k = Val(key), value = Val(row);
  const int rc = mdb_put(txn.raw(), txn.tables().message, &k, &value, flags);
  return rc == 0 ? Status() : txn.Failed(rc, "adding " + Name(mailbox, message.uid));
}

}  // namespace

Result<Message> FindMessage(Txn& txn, uint32_t mailbox, uint32_t uid) {
  LBOX_ASSIGN_OR_RETURN(const auto cursor, OpenCursor(txn));
  Key key = MailboxKey(mailbox);
  Bound bound = LowerBound(uid);
  MDB_val k = Val(key), value = Val(bound);
  const int rc = mdb_cursor_get(cursor.get(), &k, &value, MDB_GET_BOTH_RANGE);
  if (rc != 0 && rc != MDB_NOTFOUND) {
    return txn.Failed(rc, "reading " + Name(mailbox, uid));
  }
  if (rc == 0 && value.mv_size != kMessageRowBytes) {
    return WrongSize(txn, mailbox);
  }
  const auto* row = static_cast<const uint8_t*>(value.mv_data);
  if (rc == MDB_NOTFOUND || UidOf(row) != uid) {
    return Status(Code::kNotFound, "no message with UID " + std::to_string(uid));
  }
  return Decode(txn, mailbox, row);
}

Status AppendMessage(Txn& txn, uint32_t mailbox, const Message& message) {
  return Put(txn, mailbox, message, MDB_APPENDDUP);
}

Status InsertMessage(Txn& txn, uint32_t mailbox, const Message& message) {
  return Put(txn, mailbox, message, MDB_NODUPDATA);
}

Status ScanMessages(Txn& txn, uint32_t mailbox, uint32_t first, uint32_t last,
                    const std::function<Result<bool>(const Message&)>& visit) {
  LBOX_ASSIGN_OR_RETURN(const auto cursor, OpenCursor(txn));
  Key key = MailboxKey(mailbox);
  Bound bound = LowerBound(first);
  MDB_val k = Val(key), value = Val(bound);
  int rc = mdb_cursor_get(cursor.get(), &k, &value, MDB_GET_BOTH_RANGE);
  if (rc == 0) {
    // The whole page that the row is on, rows before it included. When the row is the mailbox's
    // only one there is no page, and `value` stays that row.
    rc = mdb_cursor_get(cursor.get(), &k, &value, MDB_GET_MULTIPLE);
  }
  uint32_t previous = 0;
  while (rc == 0) {
    if (value.mv_size % kMessageRowBytes != 0) {
      return WrongSize(txn, mailbox);
    }
    const auto* row = static_cast<const uint8_t*>(value.mv_data);
    const auto* const end = row + value.mv_size;
    for (; row != end; row += kMessageRowBytes) {
      const uint32_t uid = UidOf(row);
      if (uid < first) {
        continue;
      }
      if (uid > last) {
        return {};
      }
      LBOX_ASSIGN_OR_RETURN(const Message message, Decode(txn, mailbox, row));
      if (uid <= previous) {  // a damaged page may lead back to an earlier one, for ever
        return Status(Code::kCorruption, txn.index().path() + ": " + Name(mailbox, uid) +
                                             " comes after UID " + std::to_string(previous));
      }
      previous = uid;
      LBOX_ASSIGN_OR_RETURN(const bool more, visit(message));
      if (!more) {
        return {};
      }
    }
    rc = mdb_cursor_get(cursor.get(), &k, &value, MDB_NEXT_MULTIPLE);
  }
  return rc == MDB_NOTFOUND ? Status() : txn.Failed(rc, "reading " + Name(mailbox, first));
}

MessageCursor::MessageCursor(Txn& txn, uint32_t mailbox)
    : txn_(txn), mailbox_(mailbox), key_(MailboxKey(mailbox)) {}

MessageCursor::~MessageCursor() {
  if (cursor_ != nullptr) {
    mdb_cursor_close(cursor_);
  }
}

Result<bool> MessageCursor::Accept(int rc, const MDB_val& value, const char* action) {
  if (rc == MDB_NOTFOUND) {
    return false;
  }
  if (rc != 0) {
    return txn_.Failed(rc, action);
  }
  if (value.mv_size != kMessageRowBytes) {
    return WrongSize(txn_, mailbox_);
  }
  LBOX_ASSIGN_OR_RETURN(message_,
                        Decode(txn_, mailbox_, static_cast<const uint8_t*>(value.mv_data)));
  return true;
}

Result<bool> MessageCursor::Seek(uint32_t uid) {
  if (cursor_ == nullptr) {
    LBOX_ASSIGN_OR_RETURN(auto cursor, OpenCursor(txn_));
    cursor_ = cursor.release();
  }
  Bound bound = LowerBound(uid);
  MDB_val k = Val(key_), value = Val(bound);
  const int rc = mdb_cursor_get(cursor_, &k, &value, MDB_GET_BOTH_RANGE);
  return Accept(rc, value, "looking up a message");
}

Result<bool> MessageCursor::Next() {
  MDB_val k{}, value{};
  const int rc = mdb_cursor_get(cursor_, &k, &value, MDB_NEXT_DUP);
  return Accept(rc, value, "reading the next message");
}

Status MessageCursor::Update(const Message& message) {
  assert(message.uid == message_.uid);
  auto row = Encode(message, mailbox_);
  MDB_val k = Val(key_), value = Val(row);
  const int rc = mdb_cursor_put(cursor_, &k, &value, MDB_CURRENT);
  if (rc != 0) {
    return txn_.Failed(rc, "changing " + Name(mailbox_, message.uid));
  }
  message_ = message;
  return {};
}

Status MessageCursor::Remove() {
  const int rc = mdb_cursor_del(cursor_, 0);
  if (rc != 0) {
    return txn_.Failed(rc, "removing " + Name(mailbox_, message_.uid));
  }
  // LMDB's cursor after a removal stands differently in 0.9.24 and 0.9.31: start afresh.
  mdb_cursor_close(cursor_);
  cursor_ = nullptr;
  return {};
}

}  // namespace lbox

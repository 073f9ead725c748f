#include "storage/mailbox_writer.h"

#include <algorithm>

#include "storage/pack_files.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// An active pack below this is kept although all in it is dead: a mailbox that is emptied all the
// time need not start a pack each time.
constexpr uint64_t kKeepActiveBytes = 64 * 1024;

constexpr uint8_t kAllFlags = 0x1f;

bool Empty(const MessageExtra& extra) {
  return extra.original_guid.empty() && extra.pop3_uidl.empty() && extra.pop3_order == 0 &&
         extra.keywords.empty();
}

bool Same(const MessageExtra& a, const MessageExtra& b) {
  return a.original_guid == b.original_guid && a.pop3_uidl == b.pop3_uidl &&
         a.pop3_order == b.pop3_order && a.keywords == b.keywords;
}

}  // namespace

Status MailboxWriter::Load(const Guid& guid) {
  LBOX_ASSIGN_OR_RETURN(id_, txn_.FindMailbox(guid));
  LBOX_ASSIGN_OR_RETURN(row_, txn_.GetMailbox(id_));
  keywords_.emplace(txn_, id_);
  return {};
}

// --- changing rows
// ---------------------------------------------------------------------------------

Result<std::function<Result<bool>(Message&, MessageExtra&)>> MailboxWriter::Editor(
    const Change& change) {
  using Edit = std::function<Result<bool>(Message&, MessageExtra&)>;
  switch (change.kind) {
    case Change::Kind::kFlags:
      return Edit([&change](Message& message, MessageExtra&) -> Result<bool> {
        const uint8_t before = message.flags;
        message.flags =
            static_cast<uint8_t>(((before & ~change.remove_flags) | change.add_flags) & kAllFlags);
        return message.flags != before;
      });
    case Change::Kind::kKeywordAdd:
      // The keyword becomes the mailbox's only once there is a message to give it to.
      return Edit([this, &change](Message& message, MessageExtra& extra) -> Result<bool> {
        LBOX_ASSIGN_OR_RETURN(const uint32_t number, keywords_->FindOrAdd(change.text));
        return AddKeyword(message, extra, number);
      });
    case Change::Kind::kKeywordRemove: {
      LBOX_ASSIGN_OR_RETURN(const auto number, keywords_->Find(change.text));
      if (!number.has_value()) {
        return Edit();
      }
      return Edit([number](Message& message, MessageExtra& extra) -> Result<bool> {
        return RemoveKeyword(message, extra, *number);
      });
    }
    case Change::Kind::kPop3Uidl:
      return Edit([&change](Message&, MessageExtra& extra) -> Result<bool> {
        const bool differs = extra.pop3_uidl != change.text;
        extra.pop3_uidl = change.text;
        return differs;
      });
    case Change::Kind::kRetrieved:
      return Edit([&change](Message& message, MessageExtra&) -> Result<bool> {
        const bool first = message.retrieved == 0 && change.time != 0;
        message.retrieved = first ? change.time : message.retrieved;
        return first;
      });
    case Change::Kind::kExpunge:
      break;
  }
  return Status(Code::kInvalid, "unknown kind of change");
}

Result<MailboxWriter::Progress> MailboxWriter::Apply(const Change& change, uint32_t from,
                                                     uint32_t& budget) {
  const uint32_t first = std::max(from, change.uid1);
  const uint32_t before = budget;
  Progress progress{0, true};
  if (change.kind == Change::Kind::kExpunge) {
    LBOX_ASSIGN_OR_RETURN(progress, Remove(first, change.uid2, budget));
  } else {
    LBOX_ASSIGN_OR_RETURN(const auto edit, Editor(change));
    if (edit) {
      LBOX_ASSIGN_OR_RETURN(progress, Walk(first, change.uid2, budget, edit));
      if (budget != before) {
        (change.kind == Change::Kind::kRetrieved ? noted_ : changed_) = true;
      }
    }
  }
  if (budget != before) {
    txn_.meta.changed += std::min(before - budget, UINT32_MAX - txn_.meta.changed);
    Change& told = txn_.journal.changes.emplace_back(change);
    told.uid1 = first;
    told.uid2 = progress.done ? change.uid2 : progress.next_uid - 1;
  }
  return progress;
}

Result<MailboxWriter::Progress> MailboxWriter::Expunge(uint32_t first, uint32_t last,
                                                       uint32_t& budget) {
  Change change;
  change.kind = Change::Kind::kExpunge;
  change.uid1 = first;
  change.uid2 = last;
  return Apply(change, first, budget);
}

Result<MailboxWriter::Progress> MailboxWriter::Walk(
    uint32_t first, uint32_t last, uint32_t& budget,
    const std::function<Result<bool>(Message&, MessageExtra&)>& edit) {
  MessageCursor cursor(txn_, id_);
  LBOX_ASSIGN_OR_RETURN(bool found, cursor.Seek(first));
  while (found && cursor.message().uid <= last) {
    Message message = cursor.message();
    MessageExtra extra;
    if (message.has_extra) {
      LBOX_ASSIGN_OR_RETURN(extra, txn_.GetExtra(id_, message.uid));
    }
    const MessageExtra before = extra;
    LBOX_ASSIGN_OR_RETURN(const bool edited, edit(message, extra));
    if (edited) {
      if (budget == 0) {
        return Progress{message.uid, false};
      }
      budget--;
      if (!Same(extra, before)) {
        message.has_extra = !Empty(extra);
        LBOX_RETURN_IF_ERROR(message.has_extra ? txn_.PutExtra(id_, message.uid, extra)
                                               : txn_.DeleteExtra(id_, message.uid));
      }
      LBOX_RETURN_IF_ERROR(cursor.Update(message));
    }
    LBOX_ASSIGN_OR_RETURN(found, cursor.Next());
  }
  return Progress{0, true};
}

// --- removing
// --------------------------------------------------------------------------------------

Result<MailboxWriter::Progress> MailboxWriter::Remove(uint32_t first, uint32_t last,
                                                      uint32_t& budget) {
  for (;;) {
    Message message;
    {
      MessageCursor cursor(txn_, id_);
      LBOX_ASSIGN_OR_RETURN(const bool found, cursor.Seek(first));
      if (!found || cursor.message().uid > last) {
        return Progress{0, true};
      }
      message = cursor.message();
      if (budget == 0) {
        return Progress{message.uid, false};
      }
      LBOX_RETURN_IF_ERROR(cursor.Remove());
    }
    budget--;
    LBOX_RETURN_IF_ERROR(RemoveMessage(message));
    if (message.uid == UINT32_MAX) {
      return Progress{0, true};
    }
    first = message.uid + 1;
  }
}

// All but the row itself.
Status MailboxWriter::RemoveMessage(const Message& message) {
  if (message.has_extra) {
    LBOX_RETURN_IF_ERROR(txn_.DeleteExtra(id_, message.uid));
  }
  uint64_t stored = 0;
  LBOX_RETURN_IF_ERROR(ReleaseBody(message.body_id, stored));
  row_.messages--;
  row_.physical_bytes -= message.physical_size;
  row_.virtual_bytes -= message.virtual_size;
  row_.stored_bytes -= stored;
  txn_.meta.messages--;
  txn_.meta.physical_bytes -= message.physical_size;
  txn_.meta.virtual_bytes -= message.virtual_size;
  expunged_++;
  changed_ = true;
  return {};
}

Status MailboxWriter::ReleaseBody(uint64_t id, uint64_t& stored) {
  LBOX_ASSIGN_OR_RETURN(BodyRow body, txn_.GetBody(id));
  stored = StoredBytes(body);
  if (body.references > 1) {
    body.references--;
    return txn_.PutBody(id, body);
  }
  LBOX_RETURN_IF_ERROR(txn_.DeleteBody(id));
  txn_.meta.stored_bytes -= stored;
  txn_.meta.pack_live_bytes -= body.record_bytes;
  PackLoss& loss = losses_[body.pack];
  loss.bytes += body.record_bytes;
  loss.count++;
  if (body.large_id != 0) {
    txn_.meta.large_count--;
    txn_.meta.large_bytes -= LargeBytes(body);
    LBOX_RETURN_IF_ERROR(txn_.AddPending({FileKind::kLarge, body.large_id}));
  }
  return {};
}

Status MailboxWriter::SettlePacks() {
  for (const auto& [id, loss] : losses_) {
    LBOX_ASSIGN_OR_RETURN(PackRow pack, txn_.GetPack(id));
    if (pack.live_bytes < loss.bytes || pack.live_count < loss.count) {
      return Status(Code::kCorruption, txn_.index().path() + ": pack " + std::to_string(id) +
                                           " would have less than nothing in use; check the store");
    }
    pack.live_bytes -= loss.bytes;
    pack.live_count -= loss.count;
    const bool active = txn_.meta.active_pack == id;
    if (pack.live_count > 0 || (active && pack.tail < kKeepActiveBytes)) {
      LBOX_RETURN_IF_ERROR(txn_.PutPack(id, pack));
      continue;
    }
    LBOX_RETURN_IF_ERROR(txn_.DeletePack(id));
    txn_.meta.pack_bytes -= pack.tail;
    if (active) {
      txn_.meta.active_pack = 0;
    }
    LBOX_RETURN_IF_ERROR(txn_.AddPending({FileKind::kPack, id}));
  }
  losses_.clear();
  return {};
}

// --- adding
// ----------------------------------------------------------------------------------------

Status MailboxWriter::AddCopy(const Message& message, const MessageExtra& extra) {
  LBOX_ASSIGN_OR_RETURN(BodyRow body, txn_.GetBody(message.body_id));
  body.references++;
  LBOX_RETURN_IF_ERROR(txn_.PutBody(message.body_id, body));
  return Add(message, extra, StoredBytes(body));
}

Status MailboxWriter::AddNew(const Message& message, const MessageExtra& extra,
                             const BodyRow& body) {
  LBOX_RETURN_IF_ERROR(message.body_id + 1 == txn_.meta.next_body_id
                           ? txn_.AppendBody(message.body_id, body)
                           : txn_.PutBody(message.body_id, body));
  txn_.meta.stored_bytes += StoredBytes(body);
  if (body.large_id != 0) {
    txn_.meta.large_count++;
    txn_.meta.large_bytes += LargeBytes(body);
  }
  return Add(message, extra, StoredBytes(body));
}

Status MailboxWriter::Add(const Message& message, const MessageExtra& extra, uint64_t stored) {
  Message row = message;
  row.flags &= kAllFlags;
  row.has_extra = !Empty(extra);
  if (row.has_extra) {
    LBOX_RETURN_IF_ERROR(txn_.PutExtra(id_, row.uid, extra));
  }
  LBOX_RETURN_IF_ERROR(AppendMessage(txn_, id_, row));
  row_.messages++;
  row_.physical_bytes += row.physical_size;
  row_.virtual_bytes += row.virtual_size;
  row_.stored_bytes += stored;
  row_.next_uid = row.uid + 1;
  txn_.meta.messages++;
  txn_.meta.physical_bytes += row.physical_size;
  txn_.meta.virtual_bytes += row.virtual_size;
  txn_.meta.changed += txn_.meta.changed < UINT32_MAX ? 1 : 0;
  changed_ = true;
  return {};
}

Status MailboxWriter::Finish() {
  if (!changed()) {
    return {};
  }
  row_.change += changed_ ? 1 : 0;
  txn_.journal.mailbox = row_.guid;
  txn_.journal.next_uid = row_.next_uid;
  LBOX_RETURN_IF_ERROR(SettlePacks());
  LBOX_RETURN_IF_ERROR(keywords_->Store());
  return txn_.PutMailbox(id_, row_);
}

}  // namespace lbox

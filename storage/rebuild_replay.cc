#include "storage/rebuild_replay.h"

#include <algorithm>
#include <map>

#include "storage/mailbox_writer.h"
#include "storage/message_table.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr int kStepsPerCommit = 2000;

Status AddKeywords(Keywords& keywords, const std::vector<std::string>& names, Message& message,
                   MessageExtra& extra) {
  for (const std::string& name : names) {
    LBOX_ASSIGN_OR_RETURN(const uint32_t number, keywords.FindOrAdd(name));
    AddKeyword(message, extra, number);
  }
  return {};
}

bool Empty(const MessageExtra& extra) {
  return extra.original_guid.empty() && extra.pop3_uidl.empty() && extra.pop3_order == 0 &&
         extra.keywords.empty();
}

}  // namespace

// --- transactions
// ----------------------------------------------------------------------------------

Result<Txn*> RebuildTxn::Get() {
  if (txn_ == nullptr) {
    MDB_txn* raw = nullptr;
    const int rc = env_.BeginWrite(&raw);
    if (rc != 0) {
      return LmdbStatus(rc, "writing " + env_.path());
    }
    txn_ = std::make_unique<Txn>(raw, env_, true);
    txn_->meta = meta_;
  }
  return txn_.get();
}

Status RebuildTxn::Done() {
  return ++done_ >= kStepsPerCommit ? Commit() : Status();
}

Status RebuildTxn::Commit() {
  done_ = 0;
  LBOX_ASSIGN_OR_RETURN(Txn* const txn, Get());
  LBOX_RETURN_IF_ERROR(txn->StoreMeta());
  meta_ = txn->meta;
  Status status = txn->Commit();
  txn_.reset();
  return status;
}

// --- one transaction of the past
// -------------------------------------------------------------------

Status RebuildReplay::Transaction(const JournalFrame* frame,
                                  const std::vector<FoundRecord>& records, bool removals,
                                  bool known) {
  LBOX_ASSIGN_OR_RETURN(Txn* const txn, txns_.Get());
  if (frame != nullptr) {
    // A frame without saves and records of the same number: one of them was never committed.
    removals = removals && (records.empty() || frame->record.saved != 0);
    LBOX_RETURN_IF_ERROR(Changes(*txn, frame->record, removals));
  }
  Guid mailbox;
  if (frame != nullptr) {
    mailbox = frame->record.mailbox;
  }
  LBOX_RETURN_IF_ERROR(Messages(*txn, mailbox, frame, records, known));
  if (frame != nullptr) {
    if (frame->record.state.has_value()) {
      LBOX_RETURN_IF_ERROR(State(*txn, frame->record));
    }
    if (frame->record.removed) {
      if (removals) {
        LBOX_RETURN_IF_ERROR(Removed(*txn, frame->record));
      } else {
        state_.report->removals_left_out++;
        state_.doubtful.push_back({mailbox, 1, UINT32_MAX, "its mailbox may have been removed"});
      }
    }
  }
  return txns_.Done();
}

Status RebuildReplay::Changes(Txn& txn, const JournalRecord& record, bool removals) {
  if (record.changes.empty()) {
    return {};
  }
  MailboxWriter writer(txn);
  if (Status status = writer.Load(record.mailbox); !status.ok()) {
    return status.code() == Code::kNotFound ? Status() : status;
  }
  for (const Change& change : record.changes) {
    if (change.kind == Change::Kind::kExpunge && !removals) {
      state_.report->removals_left_out++;
      // Only what is there now was meant.
      const uint32_t last = std::min(change.uid2, writer.row().next_uid - 1);
      state_.doubtful.push_back({record.mailbox, change.uid1, last, "it may have been expunged"});
      continue;
    }
    uint32_t budget = UINT32_MAX;
    LBOX_RETURN_IF_ERROR(writer.Apply(change, 0, budget).status());
  }
  txn.journal = {};
  return writer.Finish();
}

Status RebuildReplay::Messages(Txn& txn, const Guid& mailbox, const JournalFrame* frame,
                               const std::vector<FoundRecord>& records, bool known) {
  struct Item {
    const JournalCopy* copy = nullptr;
    const FoundRecord* found = nullptr;
    PackRecord record;
  };
  // In the order of their UIDs, as they were added; for each mailbox, though it is but one.
  std::map<Guid, std::multimap<uint32_t, Item>> items;
  for (const FoundRecord& found : records) {
    LBOX_ASSIGN_OR_RETURN(PackRecord record, ReadFoundRecord(*state_.env, state_.folder, found));
    const Guid guid = record.mailbox;
    items[guid].emplace(found.uid, Item{nullptr, &found, std::move(record)});
  }
  if (frame != nullptr) {
    for (const JournalCopy& copy : frame->record.copies) {
      items[mailbox].emplace(copy.message.uid, Item{&copy, nullptr, {}});
    }
    if (!frame->record.state.has_value() && !frame->record.removed) {
      items[mailbox];  // its next UID is told
    }
  }
  for (auto& [guid, list] : items) {
    const PackRecord* first = list.empty() || list.begin()->second.found == nullptr
                                  ? nullptr
                                  : &list.begin()->second.record;
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, FindOrMake(txn, guid, first));
    Keywords keywords(txn, id);
    for (auto& [uid, item] : list) {
      LBOX_RETURN_IF_ERROR(item.copy != nullptr
                               ? Copy(txn, id, keywords, *item.copy)
                               : Save(txn, id, keywords, *item.found, item.record));
      if (!known && item.found != nullptr) {
        state_.doubtful.push_back({guid, uid, uid, "it may have been expunged or changed since"});
      }
    }
    LBOX_RETURN_IF_ERROR(keywords.Store());
    LBOX_ASSIGN_OR_RETURN(MailboxRow row, txn.GetMailbox(id));
    row.change++;
    if (!list.empty()) {
      row.next_uid = std::max(row.next_uid, list.rbegin()->first + 1);
    }
    if (frame != nullptr && guid == mailbox) {
      row.next_uid = std::max(row.next_uid, frame->record.next_uid);
    }
    LBOX_RETURN_IF_ERROR(txn.PutMailbox(id, row));
  }
  return {};
}

Status RebuildReplay::Save(Txn& txn, uint32_t id, Keywords& keywords, const FoundRecord& found,
                           const PackRecord& record) {
  LBOX_ASSIGN_OR_RETURN(const MessageRows rows, MessageRowsOf(record, keywords));
  LBOX_RETURN_IF_ERROR(txn.PutBody(record.body_id, BodyRowOf(found, record)));
  txn.meta.next_body_id = std::max(txn.meta.next_body_id, record.body_id + 1);
  return Put(txn, id, rows.message, rows.extra);
}

Status RebuildReplay::Copy(Txn& txn, uint32_t id, Keywords& keywords, const JournalCopy& copy) {
  auto body = txn.GetBody(copy.message.body_id);
  if (body.status().code() == Code::kNotFound) {
    // In no pack: expunged later in this same replay, or lost. Or behind a gap, with the save that
    // is not known.
    BodyRow row;
    const auto place = state_.places.find(copy.message.body_id);
    if (place != state_.places.end()) {
      LBOX_ASSIGN_OR_RETURN(const PackRecord record,
                            ReadFoundRecord(*state_.env, state_.folder, place->second));
      row = BodyRowOf(place->second, record);
      row.references = 0;
    }
    body = row;
  }
  LBOX_RETURN_IF_ERROR(body.status());
  body->references++;
  LBOX_RETURN_IF_ERROR(txn.PutBody(copy.message.body_id, *body));
  Message message = copy.message;
  MessageExtra extra;
  extra.original_guid = copy.original_guid;
  extra.pop3_uidl = copy.pop3_uidl;
  extra.pop3_order = copy.pop3_order;
  LBOX_RETURN_IF_ERROR(AddKeywords(keywords, copy.keywords, message, extra));
  return Put(txn, id, message, extra);
}

// The later of two that claim a UID has it; the earlier was never committed.
Status RebuildReplay::Put(Txn& txn, uint32_t id, Message message, const MessageExtra& extra) {
  message.has_extra = !Empty(extra);
  const auto before = FindMessage(txn, id, message.uid);
  if (before.ok()) {
    Displaced displaced;
    LBOX_ASSIGN_OR_RETURN(const MailboxRow row, txn.GetMailbox(id));
    displaced.mailbox = row.guid;
    displaced.message = *before;
    if (before->has_extra) {
      LBOX_ASSIGN_OR_RETURN(displaced.extra, txn.GetExtra(id, message.uid));
      LBOX_RETURN_IF_ERROR(txn.DeleteExtra(id, message.uid));
    }
    displaced_.push_back(displaced);
    MessageCursor cursor(txn, id);
    LBOX_RETURN_IF_ERROR(cursor.Seek(message.uid).status());
    LBOX_RETURN_IF_ERROR(cursor.Update(message));
  } else if (before.status().code() == Code::kNotFound) {
    LBOX_RETURN_IF_ERROR(InsertMessage(txn, id, message));
  } else {
    return before.status();
  }
  return message.has_extra ? txn.PutExtra(id, message.uid, extra) : Status();
}

// --- mailboxes
// -------------------------------------------------------------------------------------

Result<uint32_t> RebuildReplay::FindOrMake(Txn& txn, const Guid& guid, const PackRecord* record) {
  auto id = txn.FindMailbox(guid);
  if (id.status().code() != Code::kNotFound) {
    return id;
  }
  // Nobody told of its making: what is known of it is in the record.
  state_.made_up.insert(guid);
  MailboxRow row;
  row.guid = guid;
  row.uid_validity = record != nullptr ? record->uid_validity : 0;
  if (row.uid_validity == 0) {
    state_.new_validity.insert(guid);
    row.uid_validity =
        static_cast<uint32_t>(state_.now) + static_cast<uint32_t>(state_.new_validity.size());
  }
  std::string name = record != nullptr ? record->mailbox_name : "";
  if (name.empty()) {
    state_.unnamed.insert(guid);
    name = "lost-" + ToHex(guid);
  }
  const uint32_t fresh = txn.meta.next_mailbox_id++;
  LBOX_RETURN_IF_ERROR(txn.PutMailbox(fresh, row));
  LBOX_RETURN_IF_ERROR(txn.PutCold(fresh, {name, {}}));
  LBOX_RETURN_IF_ERROR(txn.PutMailboxGuid(guid, fresh));
  return fresh;
}

Status RebuildReplay::State(Txn& txn, const JournalRecord& record) {
  const JournalState& state = *record.state;
  auto id = txn.FindMailbox(record.mailbox);
  MailboxRow row;
  MailboxCold cold;
  if (id.status().code() == Code::kNotFound) {
    id = txn.meta.next_mailbox_id++;
  } else {
    LBOX_RETURN_IF_ERROR(id.status());
    LBOX_ASSIGN_OR_RETURN(row, txn.GetMailbox(*id));
    LBOX_ASSIGN_OR_RETURN(cold, txn.GetCold(*id));
    LBOX_RETURN_IF_ERROR(txn.DeleteMailboxGuid(record.mailbox));
  }
  row.guid = state.guid;
  row.uid_validity = state.uid_validity;
  row.first_recent_uid = std::max(row.first_recent_uid, state.first_recent_uid);
  row.modseq_ceiling = std::max(row.modseq_ceiling, state.modseq_ceiling);
  row.next_uid = std::max(row.next_uid, record.next_uid);
  row.change++;
  cold.name = state.name;
  LBOX_RETURN_IF_ERROR(txn.PutMailbox(*id, row));
  LBOX_RETURN_IF_ERROR(txn.PutCold(*id, cold));
  state_.made_up.erase(state.guid);
  state_.new_validity.erase(state.guid);
  state_.unnamed.erase(state.guid);
  return txn.PutMailboxGuid(state.guid, *id);
}

Status RebuildReplay::Removed(Txn& txn, const JournalRecord& record) {
  MailboxWriter writer(txn);
  if (Status status = writer.Load(record.mailbox); !status.ok()) {
    return status.code() == Code::kNotFound ? Status() : status;
  }
  uint32_t budget = UINT32_MAX;
  LBOX_RETURN_IF_ERROR(writer.Expunge(0, UINT32_MAX, budget).status());
  LBOX_RETURN_IF_ERROR(writer.Finish());
  txn.journal = {};
  LBOX_RETURN_IF_ERROR(txn.DeleteMailboxGuid(record.mailbox));
  return txn.DeleteMailbox(writer.id());
}

Status RebuildReplay::Finish() {
  for (const Displaced& each : displaced_) {
    LBOX_ASSIGN_OR_RETURN(Txn* const txn, txns_.Get());
    const auto id = txn->FindMailbox(each.mailbox);
    if (id.status().code() == Code::kNotFound) {
      continue;
    }
    LBOX_RETURN_IF_ERROR(id.status());
    LBOX_ASSIGN_OR_RETURN(MailboxRow row, txn->GetMailbox(*id));
    Message message = each.message;
    message.uid = row.next_uid++;
    LBOX_RETURN_IF_ERROR(txn->PutMailbox(*id, row));
    LBOX_RETURN_IF_ERROR(Put(*txn, *id, message, each.extra));
    state_.doubtful.push_back({each.mailbox, message.uid, message.uid,
                               "another has its UID; its delivery had not been promised"});
    LBOX_RETURN_IF_ERROR(txns_.Done());
  }
  displaced_.clear();
  return {};
}

}  // namespace lbox

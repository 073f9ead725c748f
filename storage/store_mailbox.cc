// Mailboxes: their rows, by GUID.
#include <algorithm>

#include "storage/mailbox_writer.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

MailboxInfo ToInfo(const MailboxRow& row, MailboxCold cold) {
  MailboxInfo info;
  info.guid = row.guid;
  info.name = std::move(cold.name);
  info.uid_validity = row.uid_validity;
  info.next_uid = row.next_uid;
  info.first_recent_uid = row.first_recent_uid;
  info.modseq_ceiling = row.modseq_ceiling;
  info.change = row.change;
  info.keywords = std::move(cold.keywords);
  info.messages = row.messages;
  info.physical_bytes = row.physical_bytes;
  info.virtual_bytes = row.virtual_bytes;
  info.stored_bytes = row.stored_bytes;
  return info;
}

Status Exists(const Guid& guid) {
  return Status(Code::kInvalid, "the store has a mailbox " + ToHex(guid) + " already");
}

// True when there is none.
Result<bool> Unused(Txn& txn, const Guid& guid) {
  const auto id = txn.FindMailbox(guid);
  if (id.ok()) {
    return false;
  }
  if (id.status().code() != Code::kNotFound) {
    return id.status();
  }
  return true;
}

template <typename T>
bool Raise(T& value, T minimum) {
  if (value >= minimum) {
    return false;
  }
  value = minimum;
  return true;
}

void Tell(Txn& txn, const Guid& before, const MailboxRow& row, const std::string& name) {
  txn.journal.mailbox = before;
  txn.journal.next_uid = row.next_uid;
  txn.journal.state =
      JournalState{row.guid, name, row.uid_validity, row.first_recent_uid, row.modseq_ceiling};
}

Status Update(Txn& txn, const Guid& guid, const MailboxUpdate& update) {
  LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(guid));
  LBOX_ASSIGN_OR_RETURN(MailboxRow row, txn.GetMailbox(id));
  LBOX_ASSIGN_OR_RETURN(MailboxCold cold, txn.GetCold(id));
  bool changed = false;   // anything
  bool mirrored = false;  // what the index mirrors: only that counts for `change`
  if (update.guid.has_value() && *update.guid != row.guid) {
    LBOX_ASSIGN_OR_RETURN(const bool unused, Unused(txn, *update.guid));
    if (!unused || update.guid->empty()) {
      return Exists(*update.guid);
    }
    LBOX_RETURN_IF_ERROR(txn.DeleteMailboxGuid(row.guid));
    LBOX_RETURN_IF_ERROR(txn.PutMailboxGuid(*update.guid, id));
    row.guid = *update.guid;
    mirrored = true;
  }
  if (update.name.has_value()) {
    if (cold.name != *update.name) {
      cold.name = *update.name;
      LBOX_RETURN_IF_ERROR(txn.PutCold(id, cold));
      changed = true;
    }
  }
  if (update.uid_validity.has_value() && *update.uid_validity != row.uid_validity) {
    if (*update.uid_validity == 0) {
      return Status(Code::kInvalid, "UIDVALIDITY 0");
    }
    row.uid_validity = *update.uid_validity;
    mirrored = true;
  }
  mirrored |= Raise(row.next_uid, update.min_next_uid);
  changed |= Raise(row.first_recent_uid, update.min_first_recent_uid);
  changed |= Raise(row.modseq_ceiling, update.min_modseq_ceiling);
  if (!changed && !mirrored) {
    txn.unchanged = true;
    return {};
  }
  if (mirrored) {
    row.change++;
  }
  Tell(txn, guid, row, cold.name);
  return txn.PutMailbox(id, row);
}

}  // namespace

Result<MailboxInfo> Store::GetMailbox(const Guid& mailbox) {
  StoreImpl& store = StoreImpl::Of(*this);
  MailboxInfo info;
  const auto work = [&](Txn& txn) -> Status {
    LBOX_RETURN_IF_ERROR(store.packs.DropRemoved(txn));
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    LBOX_ASSIGN_OR_RETURN(const MailboxRow row, txn.GetMailbox(id));
    LBOX_ASSIGN_OR_RETURN(MailboxCold cold, txn.GetCold(id));
    info = ToInfo(row, std::move(cold));
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  return info;
}

Result<std::vector<MailboxInfo>> Store::ListMailboxes() {
  std::vector<MailboxInfo> list;
  const auto work = [&](Txn& txn) -> Status {
    list.clear();
    return txn.ForEachMailbox([&](uint32_t id, const MailboxRow& row) -> Status {
      LBOX_ASSIGN_OR_RETURN(MailboxCold cold, txn.GetCold(id));
      list.push_back(ToInfo(row, std::move(cold)));
      return {};
    });
  };
  LBOX_RETURN_IF_ERROR(StoreImpl::Of(*this).Read(work));
  return list;
}

Status Store::CreateMailbox(const MailboxCreate& create) {
  if (create.guid.empty() || create.uid_validity == 0 || create.next_uid == 0 ||
      create.first_recent_uid == 0) {
    return Status(Code::kInvalid, "a mailbox needs a GUID, a UIDVALIDITY and UIDs from 1 on");
  }
  return StoreImpl::Of(*this).Write(Purpose::kSave, [&](Txn& txn) -> Status {
    LBOX_ASSIGN_OR_RETURN(const bool unused, Unused(txn, create.guid));
    if (!unused) {
      return Exists(create.guid);
    }
    MailboxRow row;
    row.guid = create.guid;
    row.uid_validity = create.uid_validity;
    row.next_uid = create.next_uid;
    row.first_recent_uid = create.first_recent_uid;
    row.modseq_ceiling = create.modseq_ceiling;
    row.change = 1;
    Tell(txn, create.guid, row, create.name);
    const uint32_t id = txn.meta.next_mailbox_id++;
    LBOX_RETURN_IF_ERROR(txn.PutMailbox(id, row));
    LBOX_RETURN_IF_ERROR(txn.PutCold(id, {create.name, {}}));
    return txn.PutMailboxGuid(create.guid, id);
  });
}

// What must be raised before an expunge can be told to clients must be possible whenever an expunge
// is.
Status Store::UpdateMailbox(const Guid& mailbox, const MailboxUpdate& update) {
  return StoreImpl::Of(*this).WriteDeletion(
      [&](Txn& txn) { return lbox::Update(txn, mailbox, update); });
}

}  // namespace lbox

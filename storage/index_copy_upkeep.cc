#include "storage/index_copy_upkeep.h"

#include <algorithm>
#include <ctime>

#include "storage/index_copy.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// Step 1.
Status BeginJournal(StoreImpl& store) {
  return store.Write(Purpose::kDelete,
                     [&](Txn& txn) { return store.index->journal().Begin(txn.meta); });
}

// Step 2. `copied` is what the meta row was.
Status WriteCopy(StoreImpl& store, MetaRow& copied, int64_t now) {
  // A file that no row names: no sweep meanwhile.
  LBOX_ASSIGN_OR_RETURN(const auto shared, store.lock->Shared());
  const std::string fresh = store.packs.TmpPath(kIndexCopyName);
  if (Status status = store.env.Unlink(fresh); !status.ok() && status.code() != Code::kNotFound) {
    return status;
  }
  Status status;
  {
    LBOX_ASSIGN_OR_RETURN(auto file,
                          store.env.Create(fresh, true, store.options.mode, store.options.gid));
    status = store.Read([&](Txn& txn) {
      copied = txn.meta;
      return WriteIndexCopy(txn, now, *file);
    });
    if (status.ok() && store.options.sync) {
      // Durable after this: the copy, under a name that does not last.
      status = file->Sync();
    }
  }
  if (status.ok()) {
    status = store.env.Rename(fresh, store.folder + "/" + kIndexCopyName);
  }
  if (!status.ok()) {
    (void)store.env.Unlink(fresh);  // what stays is swept
    return status;
  }
  // Durable after this: that it is index.copy.
  return store.options.sync ? store.env.SyncDirectory(store.folder) : Status();
}

// Step 3.
Status RemoveJournals(StoreImpl& store, uint32_t end) {
  LBOX_ASSIGN_OR_RETURN(const auto journals, ListJournals(store.env, store.folder));
  for (const uint32_t number : journals) {
    if (number < end) {
      Status status = store.env.Unlink(JournalPath(store.folder, number));
      if (!status.ok() && status.code() != Code::kNotFound) {
        return status;
      }
    }
  }
  return {};
}

}  // namespace

bool CopyDue(const MetaRow& meta, uint64_t now, uint32_t boot, bool always) {
  if (meta.journal == 0 || (meta.changed == 0 && meta.journal_tail == 0)) {
    return false;
  }
  return always || (meta.changed >= kCopyRows && meta.changed >= meta.messages / kCopyPart) ||
         meta.journal_tail >=
             std::max<uint64_t>(kJournalBytes, meta.messages * kJournalBytesPerMessage) ||
         now >= uint64_t{meta.copied_at} + kCopySeconds ||
         (boot != 0 && boot != meta.boot && (meta.journal_tail > 0 || meta.boot == 0));
}

std::chrono::milliseconds CopyTime(const MetaRow& meta) {
  // 120 bytes of rows a message; 450 MB of them take a second of CPU, as measured, and there are
  // the disk and its flushes.
  return std::chrono::milliseconds(20 + meta.messages * 120 / (200 * 1000));
}

Status TakeIndexCopy(StoreImpl& store) {
  LBOX_RETURN_IF_ERROR(BeginJournal(store));
  const int64_t now = time(nullptr);
  MetaRow copied;
  LBOX_RETURN_IF_ERROR(WriteCopy(store, copied, now));
  LBOX_RETURN_IF_ERROR(RemoveJournals(store, copied.journal));
  const auto note = [&](Txn& txn) -> Status {
    txn.meta.copied = copied.transaction;
    txn.meta.copied_at = static_cast<uint32_t>(now);
    txn.meta.changed -= std::min(txn.meta.changed, copied.changed);
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Write(Purpose::kDelete, note));
  store.upkeep.copy = false;
  return {};
}

}  // namespace lbox

#include "storage/upgrade.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace lbox {
namespace {

// Step 1.
Status UpgradeMeta(StoreImpl& store) {
  return store.Write(Purpose::kDelete, [&](Txn& txn) -> Status {
    if (txn.meta.format >= kStoreFormat) {
      txn.unchanged = true;
      return {};
    }
    txn.meta.format = kStoreFormat;
    LBOX_RETURN_IF_ERROR(store.index->journal().Begin(txn.meta));
    // What was before is in no journal.
    txn.meta.journaled = txn.number();
    txn.meta.changed = static_cast<uint32_t>(
        std::min<uint64_t>(std::max<uint64_t>(txn.meta.messages, 1), UINT32_MAX));
    return {};
  });
}

}  // namespace

Status UpgradeStore(StoreImpl& store) {
  if (store.index->format() >= kStoreFormat && store.index->last_meta().format >= kStoreFormat) {
    return {};
  }
  LBOX_ASSIGN_OR_RETURN(const auto exclusive, store.lock->Exclusive());
  LBOX_RETURN_IF_ERROR(UpgradeMeta(store));
  LBOX_ASSIGN_OR_RETURN(const CurrentFile current, ReadCurrent(store.env, store.folder));
  if (current.format >= kStoreFormat) {
    return {};
  }
  // Step 2.
  return WriteCurrent(store.env, store.folder, current, store.options.mode, store.options.gid,
                      store.options.sync);
}

}  // namespace lbox

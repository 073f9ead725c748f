// Maintain and GetStatus.
#include "storage/pack_record.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"
#include "storage/upkeep.h"

namespace lbox {

bool Store::WantsMaintenance() {
  const StoreImpl::Upkeep& upkeep = StoreImpl::Of(*this).upkeep;
  return !upkeep.packs.empty() || upkeep.pending || upkeep.shrink || upkeep.reserve_missing;
}

Result<bool> Store::Maintain(std::chrono::milliseconds budget, bool exhaustive) {
  StoreImpl& store = StoreImpl::Of(*this);
  if (budget.count() <= 0) {
    return WantsMaintenance();
  }
  LBOX_RETURN_IF_ERROR(LookForUpkeep(store));
  if (store.upkeep.reserve_missing) {
    LBOX_RETURN_IF_ERROR(MakeReserve(store));
  }
  (void)exhaustive;
  return false;
}

Result<StoreStatus> Store::GetStatus() {
  StoreImpl& store = StoreImpl::Of(*this);
  StoreStatus status;
  const auto work = [&](Txn& txn) -> Status {
    const MetaRow& meta = txn.meta;
    status.messages = meta.messages;
    status.physical_bytes = meta.physical_bytes;
    status.virtual_bytes = meta.virtual_bytes;
    status.stored_bytes = meta.stored_bytes;
    status.dead_bytes = meta.pack_bytes - meta.pack_live_bytes;
    status.large_bodies = meta.large_count;
    status.format = meta.format;
    status.uuid = meta.uuid;
    status.mailboxes = status.packs = 0;
    LBOX_RETURN_IF_ERROR(txn.ForEachMailbox([&](uint32_t, const MailboxRow&) -> Status {
      status.mailboxes++;
      return {};
    }));
    LBOX_RETURN_IF_ERROR(txn.ForEachPack([&](uint32_t, const PackRow&) -> Status {
      status.packs++;
      return {};
    }));
    status.index_free_bytes = FreePages(txn.raw()) * txn.index().page_bytes();
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  IndexEnv& index = store.index->env();
  status.generation = store.index->generation();
  status.map_bytes = index.map_bytes();
  status.map_limit_bytes = index.MapLimit();
  LBOX_ASSIGN_OR_RETURN(const FileInfo file, store.env.Stat(index.path()));
  status.index_bytes = file.size;
  for (const char* directory : {"", "/p", "/l", "/tmp"}) {
    const std::string path = store.folder + directory;
    LBOX_RETURN_IF_ERROR(store.env.List(path, [&](const std::string& name) {
      const auto info = store.env.Stat(path + "/" + name);
      if (info.ok() && !info->directory) {
        status.allocated_bytes += info->allocated;
      }
    }));
  }
  return status;
}

}  // namespace lbox

// Maintain, GetStatus and GetTotals.
#include <chrono>
#include <ctime>

#include "storage/index_copy_upkeep.h"
#include "storage/index_shrink.h"
#include "storage/reclaim.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"
#include "storage/sweep.h"
#include "storage/upkeep.h"

namespace lbox {
namespace {

using Clock = std::chrono::steady_clock;

// What a process cannot do, for want of time, lock, address space or disk, another will.
Status ShrinkIfTimeAllows(StoreImpl& store, Clock::time_point deadline, bool exhaustive) {
  bool fits = false;
  const auto look = [&](Txn& txn) -> Status {
    const IndexSize size = IndexSizeOf(txn, exhaustive);
    fits = WorthShrinking(size, exhaustive) && CanShrinkHere(size) &&
           (exhaustive || Clock::now() + ShrinkTime(size) <= deadline);
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Read(look));
  if (!fits) {
    return {};
  }
  const Status status = ShrinkIndex(store, exhaustive).status();
  return status.code() == Code::kFull || status.code() == Code::kNoSpace ? Status() : status;
}

// Likewise. Not before the index has shrunk: a copy has no free pages.
Status CopyIfTimeAllows(StoreImpl& store, Clock::time_point deadline, bool exhaustive) {
  MetaRow meta;
  LBOX_RETURN_IF_ERROR(store.Read([&](Txn& txn) -> Status {
    meta = txn.meta;
    return {};
  }));
  if (!CopyDue(meta, static_cast<uint64_t>(time(nullptr)), store.boot, exhaustive) ||
      (!exhaustive && Clock::now() + CopyTime(meta) > deadline)) {
    return {};
  }
  const Status status = TakeIndexCopy(store);
  return status.code() == Code::kFull || status.code() == Code::kNoSpace ? Status() : status;
}

}  // namespace

bool Store::WantsMaintenance() {
  if (!StoreImpl::Of(*this).damage.empty()) {
    return false;
  }
  const StoreImpl::Upkeep& upkeep = StoreImpl::Of(*this).upkeep;
  return !upkeep.packs.empty() || upkeep.pending || upkeep.copy || upkeep.shrink ||
         upkeep.reserve_missing;
}

Result<bool> Store::Maintain(std::chrono::milliseconds budget, bool exhaustive) {
  StoreImpl& store = StoreImpl::Of(*this);
  if (budget.count() <= 0) {
    return WantsMaintenance();
  }
  if (!store.damage.empty()) {
    return exhaustive
               ? Result<bool>(Status(
                     Code::kCorruption,
                     store.damage.front() +
                         "; no disk is freed as long as that is so: run doveadm lbox repair"))
               : Result<bool>(false);
  }
  const Clock::time_point deadline = Clock::now() + budget;
  const auto upkeep = store.lock->TryUpkeep();
  if (!upkeep) {
    // Another process is at it: perhaps since before there was what this one wants to see done.
    return !exhaustive && WantsMaintenance();
  }
  LBOX_RETURN_IF_ERROR(LookForUpkeep(store, deadline));
  if (exhaustive || !store.upkeep.swept) {
    LBOX_ASSIGN_OR_RETURN(const bool swept, Sweep(store, exhaustive));
    store.upkeep.swept |= swept;
  }
  for (;;) {
    if (store.upkeep.pending && !exhaustive) {
      LBOX_RETURN_IF_ERROR(store.UnlinkAllPending(deadline));
    }
    if (Clock::now() >= deadline) {
      return true;
    }
    const auto more = ReclaimStep(store, exhaustive);
    if (more.status().code() == Code::kNoSpace && !exhaustive) {
      break;  // for want of room to copy; deletions make some
    }
    if (!more.ok()) {
      return more.status();
    }
    if (!*more) {
      break;
    }
  }
  LBOX_RETURN_IF_ERROR(ShrinkIfTimeAllows(store, deadline, exhaustive));
  if (store.upkeep.reserve_missing) {
    const Status status = MakeReserve(store);
    if (!status.ok() && status.code() != Code::kNoSpace) {
      return status;
    }
  }
  if (!store.upkeep.reserve_missing) {
    LBOX_RETURN_IF_ERROR(CopyIfTimeAllows(store, deadline, exhaustive));
  }
  if (store.index->HasForgotten()) {
    LBOX_RETURN_IF_ERROR(store.Write(Purpose::kDelete, [](Txn&) { return Status(); }));
  }
  return false;
}

Status Store::UnlinkDeleted() {
  StoreImpl& store = StoreImpl::Of(*this);
  return store.upkeep.pending && store.damage.empty()
             ? store.UnlinkAllPending(Clock::time_point::max())
             : Status();
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
    status.index_free_bytes = txn.FreePages() * txn.index().page_bytes();
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  IndexEnv& index = store.index->env();
  status.generation = store.index->generation();
  status.map_bytes = index.map_bytes();
  status.map_limit_bytes = index.MapLimit();
  // Another process may have shrunk it by now.
  const auto file = store.env.Stat(index.path());
  status.index_bytes = file.ok() ? file->size : index.TakenPages() * index.page_bytes();
  for (const char* directory : {"", "/p", "/l", "/tmp"}) {
    const std::string path = store.folder + directory + "/";
    LBOX_RETURN_IF_ERROR(store.env.List(path, [&](const std::string& name) {
      const auto info = store.env.Stat(path + name);
      if (info.ok() && !info->directory) {
        status.allocated_bytes += info->allocated;
      }
    }));
  }
  return status;
}

Result<StoreTotals> Store::GetTotals() {
  StoreTotals totals;
  LBOX_RETURN_IF_ERROR(StoreImpl::Of(*this).Read([&](Txn& txn) -> Status {
    const MetaRow& meta = txn.meta;
    totals = {meta.uuid, meta.transaction, meta.messages, meta.virtual_bytes,
              meta.pack_bytes + meta.large_bytes};
    return {};
  }));
  return totals;
}

}  // namespace lbox

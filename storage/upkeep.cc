#include "storage/upkeep.h"

#include <ctime>

#include "storage/index_copy_upkeep.h"
#include "storage/index_shrink.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr uint64_t kMinDeadBytes = 64 * 1024;

}  // namespace

bool WorthRewriting(const PackRow& row, bool small, bool exhaustive) {
  const uint64_t dead = row.tail - row.live_bytes;
  if (exhaustive) {
    return dead > 0;
  }
  return dead > kMinDeadBytes && dead > row.tail / (small ? 10 : 4);
}

Status LookForUpkeep(StoreImpl& store, std::chrono::steady_clock::time_point deadline) {
  store.boot = BootOf(store.env);
  const auto look = [&](Txn& txn) -> Status {
    store.upkeep.packs.clear();
    NoteIndexSize(store, txn);
    store.upkeep.copy = CopyDue(txn.meta, static_cast<uint64_t>(time(nullptr)), store.boot, false);
    const bool small = txn.meta.pack_bytes < kSmallStoreBytes;
    return txn.ForEachPack([&](uint32_t id, const PackRow& row) -> Status {
      if (WorthRewriting(row, small, false) && !store.upkeep.damaged_packs.contains(id)) {
        store.upkeep.packs.insert(id);
      }
      return {};
    });
  };
  LBOX_RETURN_IF_ERROR(store.Read(look));
  LBOX_RETURN_IF_ERROR(store.UnlinkAllPending(deadline));
  store.upkeep.reserve_missing = !store.env.Stat(store.folder + "/" + kReserveName).ok();
  return {};
}

void NoteIndexSize(StoreImpl& store, Txn& txn) {
  const IndexSize size = IndexSizeOf(txn);
  store.upkeep.shrink = WorthShrinking(size, false) && CanShrinkHere(size);
}

Status MakeReserve(StoreImpl& store) {
  const std::string path = store.folder + "/" + kReserveName;
  if (store.env.Stat(path).ok()) {
    store.upkeep.reserve_missing = false;
    return {};
  }
  // Not zeros, nor anything else that a file system stores without taking blocks for it.
  std::string bytes(kReserveFileBytes, '\0');
  uint64_t state = 0x9E3779B97F4A7C15;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state >> 32);
  }
  LBOX_ASSIGN_OR_RETURN(const auto shared, store.lock->Shared());
  const std::string fresh = store.packs.TmpPath("reserve");
  LBOX_ASSIGN_OR_RETURN(auto file,
                        store.env.Create(fresh, false, store.options.mode, store.options.gid));
  Status status = file->WriteAt(0, bytes.data(), bytes.size());
  if (status.ok() && store.options.sync) {
    status = file->Sync();
  }
  if (status.ok()) {
    status = store.env.Rename(fresh, path);
  }
  if (!status.ok()) {
    (void)store.env.Unlink(fresh);
    return status;
  }
  store.upkeep.reserve_missing = false;
  return {};
}

}  // namespace lbox

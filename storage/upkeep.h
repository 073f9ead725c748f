// The parts of upkeep that opening and maintaining a store share.
#pragma once

#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

// Notes what is worth a Maintain, and unlinks what is pending, until the deadline; some in any
// case.
Status LookForUpkeep(StoreImpl& store, std::chrono::steady_clock::time_point deadline);

inline constexpr uint64_t kSmallStoreBytes = 64 * kMiB;

// A pack whose dead part is worth rewriting it; `small`: all packs together are.
bool WorthRewriting(const PackRow& row, bool small, bool exhaustive);

// Notes whether the index is worth shrinking, and this process able to.
void NoteIndexSize(StoreImpl& store, Txn& txn);

// Writes the reserve file when it is missing. Its blocks are given up when a deletion meets a full
// disk.
Status MakeReserve(StoreImpl& store);

}  // namespace lbox

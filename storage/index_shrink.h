// Making the index smaller: LMDB never gives pages back, so the rows are copied into a new
// generation and the old file is unlinked.
//
// Order, and what a crash leaves at each point: under the exclusive lock and the old generation's
// writer lock
//   1. copy all rows to index.<n+1>, flush it and its name     crash: CURRENT says n, n is whole;
//   the sweep removes n+1
//   2. commit meta.superseded in index.<n>                      crash: CURRENT says n, which says
//   "superseded"; n+1 is whole and durable
//                                                               and no transaction commits to n any
//                                                               more: the next opener switches
//                                                               CURRENT
//   3. CURRENT says n+1                                         crash: the sweep removes n
//   4. unlink index.<n>
// Other processes may have n open throughout; their next transaction finds the mark and opens what
// CURRENT names.
#pragma once

#include <chrono>

#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

struct IndexSize {
  uint64_t used = 0;  // bytes up to the last page
  uint64_t free = 0;  // of them, in free pages
};

// Cheap for a file below 8 MiB, whose free pages are not counted.
IndexSize IndexSizeOf(Txn& txn, bool always_count = false);
// Whether the file is mostly free pages.
bool WorthShrinking(const IndexSize& size, bool exhaustive);
// Whether this process has the address space for a second map. A limited mail process may not.
bool CanShrinkHere(const IndexSize& size);
// What shrinking takes, roughly.
std::chrono::milliseconds ShrinkTime(const IndexSize& size);

// False when the lock was not to be had, or it is not worth it after all.
Result<bool> ShrinkIndex(StoreImpl& store, bool exhaustive);

}  // namespace lbox

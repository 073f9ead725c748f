// Reading all of an index, to see whether it can be read.
//
// Purpose: LMDB has no checksums and trusts its pages, so a damaged index may kill who reads it.
// Whoever has reason to suspect one tries in a child first. Changes nothing. Failure: kCorruption
// when the index cannot be read, saying how the child ended and what to run.
#pragma once

#include <chrono>
#include <functional>

#include "storage/status.h"
#include "storage/store.h"
#include "storage/txn.h"

namespace lbox {

// Reads and checks every row of every table, in order and by its key, as sessions do, which leads
// through other bytes; and the list of free pages. `alive` is called now and then.
Status WalkIndex(Txn& txn, const std::function<void()>& alive);

// WalkIndex in a child that opens the store by itself. After `at_most` the index counts as good: so
// far it was. So it does when something else than damage keeps it from being opened. Fails
// otherwise than by kCorruption when no child was to be had.
Status TryIndex(const StoreOptions& options, std::chrono::milliseconds at_most);

}  // namespace lbox

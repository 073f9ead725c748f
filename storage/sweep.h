// Removing files that no row names: what a killed process left between making a file and committing
// its row.
//
// Needs the exclusive lock, which shows that no process is between the two.
// Crash rule: none; a sweep that stops half way is done again.
#pragma once

#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

// tmp/, packs without a row, index files of other generations; with `large` also large bodies
// without a row, for which all body rows are read. False when the lock was not to be had.
Result<bool> Sweep(StoreImpl& store, bool large);

}  // namespace lbox

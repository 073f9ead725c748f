// The stores that this process has open, by device and inode of their lock file.
//
// Purpose: an LMDB environment must not be opened twice in a process: closing either would drop the
// locks of both. Threads: one. Processes: after fork() the child has nothing open; entries of the
// parent are left alone.
#pragma once

#include <cstdint>
#include <memory>

#include "storage/store.h"

namespace lbox {

class StoreImpl;

// Store::Open: the open one, or opens it.
Result<std::shared_ptr<Store>> OpenRegistered(const StoreOptions& options);

// Store::KeepIdle and Store::CloseIdle.
void KeepIdle(std::shared_ptr<StoreImpl> store);
void CloseIdle();

// When a store is destroyed.
void Unregister(const StoreImpl* store);

}  // namespace lbox

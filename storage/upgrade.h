// Bringing a store of an older format to the present one, when it is opened.
//
// Format 1 -> 2: only the meta row and CURRENT change; rows and packs stay. Order, and what a cut
// leaves at each point: under the exclusive lock
//   1. a transaction makes journal.1 (its name is durable before) and the meta row of format 2
//                          cut before its commit: format 1, with a file that nobody reads
//   2. CURRENT says format 2
//                          cut before: CURRENT says 1, the meta row 2; an old lbox refuses the
//                          meta row, a present one does step 2
// The next upkeep takes the first index copy.
// Processes: those of an older lbox that have the store open are refused from step 1 on.
#pragma once

#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

// Does nothing when the store has the present format. Needs its index open.
Status UpgradeStore(StoreImpl& store);

}  // namespace lbox

// Redo: saves whose records are durable in a pack while their commit is not.
//
// A save that does no more than append records to the active pack is acknowledged when the records
// and the index's data pages are flushed; the meta page that makes the commit visible goes to disk
// with the next flush of the index. A power cut before that leaves the index one transaction
// behind, and the whole batch beyond the pack's tail: transaction number, UIDs, body ids, all. Who
// opens the store next does it again.
//
// Only a batch that continues exactly where the index stands is taken: the next transaction's
// number, the next body ids, records and frames whole, as many as the batch says. Whatever else is
// beyond the tail was never committed. A batch of a process that died before its commit looks the
// same and is taken as well: not acknowledged, but whole.
// Processes: decided under the writer's lock, so that a batch being saved is left to its writer.
#pragma once

#include "storage/pack_files.h"
#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

// For the opener, when the active pack is longer than its tail. Durable after this: what was done
// again.
Status RedoSaves(StoreImpl& store);

// After a save that failed and is not in doubt: nobody shall find its records at `place`. What
// cannot be done now is no loss: the message is there though it was refused.
void VoidRecords(StoreImpl& store, const PackAppender::Place& place);

}  // namespace lbox

// Rewriting packs: what is live moves to a new pack, the old ones are unlinked.
//
// What is live is what the index says: a record is live when its body row points at it. When a pack
// and the index do not agree about how many those are and how much they take, the pack stays
// untouched. Crash rule: the copy has a name in p/ and is durable before any row points at it; rows
// are repointed in transactions of bounded size, during which both packs serve; the old pack is
// unlinked after the last. At any point, what no row names is garbage for the sweep.
#pragma once

#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

inline constexpr uint64_t kReclaimStepBytes = 16 * 1024 * 1024;  // copied in one step, at most

// One step: some of the packs worth it, together at most kReclaimStepBytes of live records, become
// one. False when none is worth it.
Result<bool> ReclaimStep(StoreImpl& store, bool exhaustive);

// Moves what the index says is in the pack to a new one, without looking at what else the pack
// holds, which may be damaged. Ok when there is no such pack. For repair, which has verified those
// records.
Status RewritePack(StoreImpl& store, uint32_t pack);

}  // namespace lbox

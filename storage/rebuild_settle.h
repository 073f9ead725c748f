// The end of a rebuild: messages without a body go, and all counts are made anew from the rows.
#pragma once

#include <vector>

#include "storage/rebuild_replay.h"
#include "storage/rebuild_scan.h"

namespace lbox {

struct RebuildJumps {
  bool next_uids = false;  // UIDs that nobody here knows of may have been given
};

// How far numbers jump ahead that must never be given twice.
inline constexpr uint32_t kUidJump = 1'000'000;
inline constexpr uint64_t kNumberJump = 1 << 20;  // transactions, bodies, changes, modseqs
inline constexpr uint32_t kPackJump = 1000;

// Fills the mailboxes of the report. Commits.
Status SettleRebuild(RebuildTxn& txns, RebuildState& state, const std::vector<FoundPack>& packs,
                     const RebuildJumps& jumps);

}  // namespace lbox

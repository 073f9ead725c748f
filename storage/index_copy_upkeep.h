// When the store copies its index, and how.
//
// Order, and what a cut leaves at each point: under the upkeep lock
//   1. a transaction begins journal n+1 (its name is durable before) and names it in the meta row
//                                cut: the old copy, journals n and n+1
//   2. all rows, as a read transaction after that sees them, are written to tmp/index.copy; flush;
//      rename to index.copy; flush of the folder
//                                cut: the old copy or the new one, journals n and n+1; the new one
//                                has all that is in n
//   3. journals up to n are unlinked
//                                cut: they stay until the next copy
//   4. a transaction notes the copy in the meta row
//                                cut: the next copy is taken sooner than need be
// Writers are not held up; what they do meanwhile is in journal n+1, and part of it in the copy
// too. Cost: some 7 flushes and a sequential write of 20 to 60 bytes a message, for at least
// kCopyRows changed rows, or a day, or kJournalBytes of journal (docs/design.md has what was
// measured).
#pragma once

#include <chrono>
#include <cstdint>

#include "storage/status.h"
#include "storage/store_impl.h"

namespace lbox {

inline constexpr uint32_t kCopyRows = 1000;  // fewer changed rows are no reason for a copy
inline constexpr uint32_t kCopyPart = 10;    // nor is less than one in ten
inline constexpr uint32_t kCopySeconds = 24 * 3600;
inline constexpr uint64_t kJournalBytes = 256 * 1024;
inline constexpr uint64_t kJournalBytesPerMessage = 16;

// Whether a new copy is worth while. `boot`: BootOf, 0 if not known. `always`: if anything changed.
bool CopyDue(const MetaRow& meta, uint64_t now, uint32_t boot, bool always);
// What it takes, roughly.
std::chrono::milliseconds CopyTime(const MetaRow& meta);

// Steps 1 to 4. The caller has the upkeep lock.
Status TakeIndexCopy(StoreImpl& store);

}  // namespace lbox

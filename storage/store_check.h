// Checking a store: do its rows, its totals and its packs agree with one another?
//
// Purpose: what `doveadm lbox verify` and repair are made of, and the tests' last word after
// whatever they did to a store. Changes nothing, and needs nobody to stop: the index is checked in
// one read transaction (which keeps pages of writers from being used again for about a second per
// million messages), and what then is found wrong in a file counts only if a fresh transaction
// still names that place. Memory: some 40 bytes for each message. Failure: a problem found is no
// failure of the check. When the index contradicts itself, no file is looked at.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/store.h"

namespace lbox {

struct CheckOptions {
  bool records = true;   // read every record header in the packs
  bool bodies = false;   // and verify every stored byte; needs `records`
  bool spare = false;    // look at what a rebuild would begin with: storage/check_spare.h
  bool orphans = false;  // name files that are nobody's: likewise
  // Called often; bytes of packs and large bodies done, and how many there are (0: not known yet).
  std::function<void(uint64_t done, uint64_t total)> progress = {};
};

enum class Damage : uint8_t {
  kIndex,       // rows that cannot be read, or that contradict one another: to be rebuilt
  kCounts,      // totals and reference counts that the rows do not add up to
  kMessage,     // a stored message that cannot be given out; one finding for each that has the body
  kDeadSpace,   // bytes of a pack that are no record, where no message is: no mail is concerned
  kUnreadable,  // the system refuses to read (a failing disk, permissions): nothing is known
  kSpare,       // index copy or journal: no mail is concerned as long as the index is good
  kOrphan,      // a file that no row names: nothing is wrong, but it takes room
};
inline constexpr int kDamages = 7;
// "index", "counts", "message", "dead space", "unreadable", "spare", "orphan"
const char* ToString(Damage damage);

struct Finding {
  Damage damage = Damage::kIndex;
  std::string text;   // one line: what is wrong, in which file, where
  uint32_t pack = 0;  // kMessage, kDeadSpace, kUnreadable: where it is; else 0
  // kMessage, and kUnreadable when it is a message's:
  uint64_t body_id = 0;
  Guid mailbox;
  std::string mailbox_name;  // storage name, '/' between the levels
  uint32_t uid = 0;
  Guid guid;
};

struct CheckReport {
  std::vector<std::string> problems;  // one line for each finding; at most kMaxProblems
  std::vector<Finding> findings;
  uint64_t mailboxes = 0, messages = 0, bodies = 0, packs = 0;
  uint64_t bytes = 0;  // of packs and large bodies, that were looked at
};
inline constexpr size_t kMaxProblems = 100;

Result<CheckReport> CheckStore(Store& store, const CheckOptions& options);

}  // namespace lbox

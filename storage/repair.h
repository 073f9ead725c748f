// Repairing a store, whatever is damaged.
//
// Purpose: what `doveadm lbox repair` and `doveadm force-resync` run. Keeps everything that can be
// read; sets what is damaged aside in the quarantine folder with report.txt, which names each
// message that is lost or doubtful; removes nothing that may be the only copy of anything.
// Processes: works in children, as reading a damaged index may kill; the calling process may have
// the store open unless the index has to be rebuilt. Others go on using the store. Failure: kBusy
// and the like when a lock is not to be had; kCorruption when what is wrong is not for a repair to
// put right (the folder of the packs is missing: is everything mounted?). May be called again.
// Crash rule: as storage/mend.h and storage/rebuild.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/store.h"
#include "storage/store_check.h"

namespace lbox {

struct RepairOptions {
  StoreOptions store;                                                // `create` is not looked at
  std::function<void(uint64_t done, uint64_t total)> progress = {};  // as CheckOptions::progress
  std::chrono::milliseconds patience{60'000};                        // as VerifyOptions::patience
};

struct RepairReport {
  bool damaged = false;              // there was something to repair
  bool rebuilt = false;              // the index
  uint64_t lost = 0;                 // messages
  std::vector<std::string> lines;    // what was found and done
  std::vector<std::string> folders;  // in the quarantine, with report.txt
  CheckReport after;  // the last check; has findings when something could not be repaired
};

// `report` is filled also on failure, as far as it came.
Status RepairStore(const RepairOptions& options, RepairReport* report);

}  // namespace lbox

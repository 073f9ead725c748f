// What a Store is made of. The calls of storage/store.h are in store_mailbox.cc, store_read.cc,
// store_save.cc, store_apply.cc and store_upkeep.cc; opening and creating in store_open.cc.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include "storage/env.h"
#include "storage/index.h"
#include "storage/pack_files.h"
#include "storage/place_window.h"
#include "storage/staging.h"
#include "storage/store.h"
#include "storage/store_lock.h"

namespace lbox {

// kUse: to serve mail. kExamine: for who looks into damage: no upkeep, nothing is refused for what
// packs hold or lack, and no look into a child first, since this is one.
enum class Opening { kUse, kExamine };

class StoreImpl final : public Store {
 public:
  // Opens or creates; refuses what it must not touch (storage/store_open.cc).
  static Result<std::shared_ptr<StoreImpl>> Open(const StoreOptions& options,
                                                 Opening opening = Opening::kUse);
  ~StoreImpl() override;

  static StoreImpl& Of(Store& store) { return static_cast<StoreImpl&>(store); }

  // Index::Read and Index::Write, after checking that the process may. Write unlinks some of what
  // became pending, once committed, and leaves the rest to Maintain: who deleted may be waiting.
  Status Read(const Index::Work& work);
  Status Write(Purpose purpose, const Index::Work& work);
  // Like Write for deletions: when the disk is full, gives up the reserve file and tries again.
  Status WriteDeletion(const Index::Work& work);
  // Removes the files and lets the next write transaction remove their rows. What cannot be removed
  // now stays pending.
  void UnlinkPending(std::span<const PendingFile> files);
  // All that is pending, until the deadline; some in any case.
  Status UnlinkAllPending(std::chrono::steady_clock::time_point deadline);

  const StoreOptions options;
  Env& env;
  const std::string folder;
  std::unique_ptr<StoreLock> lock;
  std::unique_ptr<Index> index;
  PackFiles packs;
  PlaceWindow places;
  std::shared_ptr<StagingArea> staging;
  const pid_t pid;
  const uid_t uid;
  const std::chrono::steady_clock::time_point opened = std::chrono::steady_clock::now();

  // What upkeep there is, as far as this process knows (storage/store_upkeep.cc).
  struct Upkeep {
    std::set<uint32_t> packs;  // worth rewriting
    std::set<uint32_t>
        damaged_packs;             // do not agree with the index: reported once, then left alone
    bool pending = false;          // files that no row names any more, not unlinked yet
    bool copy = false;             // index.copy is older than it should be
    bool shrink = false;           // the index is mostly free pages
    bool reserve_missing = false;  // given up for a deletion
    bool swept = false;            // this process has swept once
  };
  Upkeep upkeep;
  // One line for each damaged pack that was seen when it was opened. What such a store holds beyond
  // what its index knows is left alone: no upkeep, no file written over.
  std::vector<std::string> damage;
  uint32_t boot = 0;  // BootOf, for upkeep

 private:
  explicit StoreImpl(const StoreOptions& options);
  Status CheckCaller() const;
};

// Files and directories of a store.
std::string StorePath(const StoreImpl& store, const char* name);
inline constexpr char kReserveName[] = "reserve";
inline constexpr uint64_t kReserveFileBytes = 256 * 1024;

}  // namespace lbox

// The LMDB environment of one index file: opening, closing, map size, error codes.
//
// Purpose: LMDB's rules in one place. The map counts against RLIMIT_AS; it grows only by closing
// and reopening, because a failed mdb_env_set_mapsize leaves LMDB without a map; opening and
// closing happen behind StoreLock::Gate. Ownership: one per store, owned by Index; never two of one
// file in a process. Processes: not carried across fork(): a child that inherits one leaves it
// alone, also on destruction. Failure: LMDB's codes become Status by LmdbStatus. After a failed
// Open it is closed, and the next use opens again. Crash rule: LMDB's own: a transaction is there
// or not; a writer that dies releases its lock (robust mutex).
#pragma once

#include <cstdint>
#include <string>

#include <lmdb.h>
#include <sys/types.h>

#include "storage/env.h"
#include "storage/lmdb_status.h"
#include "storage/status.h"
#include "storage/store_lock.h"

namespace lbox {

// Handles of the tables; storage/rows.h says what each holds.
struct Tables {
  MDB_dbi meta = 0, mailbox = 0, mailbox_cold = 0, mailbox_guid = 0, message = 0, extra = 0,
          body = 0, pack = 0, pending = 0;
};

struct IndexOptions {
  Env* env = nullptr;
  StoreLock* lock = nullptr;
  uint32_t mode = 0600;
  int64_t gid = -1;
  bool sync = true;
  uint64_t max_map_bytes = 0;  // 0: no limit but the address space
};

inline constexpr uint64_t kMiB = 1024 * 1024;
inline constexpr uint64_t kFirstMapBytes = 16 * kMiB;
inline constexpr uint64_t kMapStepBytes = 32 * kMiB;      // above 64 MiB; below it doubles
inline constexpr uint64_t kKeepAddressSpace = 24 * kMiB;  // left for the rest of the process
inline constexpr uint64_t kReserveBytes = 2 * kMiB;  // of the map, for deletions and upkeep alone
inline constexpr unsigned kMaxReaders = 1024;        // 64 KiB of lock file

// The map size to try next when `bytes` do not suffice.
uint64_t NextMapBytes(uint64_t bytes);

class IndexEnv {
 public:
  IndexEnv(const IndexOptions& options, std::string path);
  ~IndexEnv();
  IndexEnv(const IndexEnv&) = delete;
  IndexEnv& operator=(const IndexEnv&) = delete;

  // A new file with empty tables, mapped with `map_bytes` if possible; kAborted when it is there.
  Status Create(uint64_t map_bytes = kFirstMapBytes);
  // Opens an existing file with a map of at least `min_map` bytes if possible, more when the file
  // needs it. Closes first.
  Status Open(uint64_t min_map);
  void Close();
  [[nodiscard]] bool open() const { return env_ != nullptr; }
  // False when the file that is open does not have its name any more: somebody has put another
  // index in its place.
  Result<bool> StillNamed() const;

  // Opens again with a larger map. kFull when there may be none; the old size is open then, as far
  // as possible.
  Status Grow();

  // A write transaction; ends with mdb_txn_commit or mdb_txn_abort. LMDB's code.
  int BeginWrite(MDB_txn** txn) { return Begin(0, txn); }
  // A read transaction, one at a time; ends with EndRead. Its reader slot is kept for the next.
  int BeginRead(MDB_txn** txn);
  void EndRead();
  // LMDB's number of the newest transaction, as the meta pages in the map say; 0 when not open.
  [[nodiscard]] uint64_t NewestTransaction() const;
  [[nodiscard]] const Tables& tables() const { return tables_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uint64_t page_bytes() const { return page_bytes_; }
  [[nodiscard]] uint64_t map_bytes() const { return map_bytes_; }
  // The largest map this process may have now.
  [[nodiscard]] uint64_t MapLimit() const;
  [[nodiscard]] uint64_t MapLimit(uint64_t address_space_left) const;
  // Pages that the file may still grow by: within the map, or within what saves may use of it.
  [[nodiscard]] uint64_t UntakenPages(bool for_saves) const;
  [[nodiscard]] uint64_t TakenPages() const;
  // Has the file read into the page cache, in the background, when it is not there and not too
  // large: for who is about to look up rows here and there, each of which would be a wait of its
  // own.
  void ReadAhead();
  // Clears what killed processes left in the reader table; how many.
  int CheckReaders();
  // After a commit: makes the file as long as LMDB believes it is (see storage/index_file.h).
  void Extend();
  // Durable after this: everything committed (only needed where options.sync did not see to it).
  Status Flush();

 private:
  Status OpenFile(uint64_t map_bytes, bool create);
  Status OpenTables(bool create);
  // mdb_txn_begin that clears dead readers when the reader table is full.
  int Begin(unsigned flags, MDB_txn** txn);

  const IndexOptions options_;
  const std::string path_;
  MDB_env* env_ = nullptr;
  MDB_txn* read_ = nullptr;  // between BeginReads: reset
  pid_t pid_ = 0;
  Tables tables_;
  uint64_t device_ = 0, inode_ = 0;
  uint64_t page_bytes_ = 0;
  uint64_t map_bytes_ = 0;
  uint64_t limit_bytes_ =
      0;  // MapLimit when it was opened; the map is larger when the file was already
};

}  // namespace lbox

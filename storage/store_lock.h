// The `lock` file of a store: who may create, name and remove files, and who may open or close the
// index.
//
// Purpose: two locks on one file.
//   flock, shared:    held while files exist that no committed row names yet (a staged body in
//   tmp/, a Save), and while CURRENT is
//                     read and the index it names is opened.
//   flock, exclusive: creating the store, switching generations, sweeping files that no row names.
//   the gate:         an open-file-description lock around mdb_env_open and mdb_env_close alone.
//   LMDB 0.9.31 destroys its mutexes
//                     when the last user closes, and a process that opens at that moment would be
//                     left with destroyed ones.
//   the upkeep lock:  another such lock, not waited for: one process at a time does upkeep.
// The file's contents are the marks: kMarks numbers (u32) of processes, each in the place that its
// number modulo kMarks gives, of those that have the index open. Who dies over a damaged index
// leaves its mark; so does every process that is killed, and each at a power cut. Not flushed, not
// exact: where two processes share a place, one mark is lost.
// Order: flock, then the gate or LMDB's writer lock; the gate is never held while waiting for
// anything else. Ownership: one per open store and process. Threads: one. Processes: a forked child
// must not use it. Failure: kBusy when another process holds a lock for longer than kLockTimeout.
// Crash rule: the kernel drops all of it with the process.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "storage/env.h"
#include "storage/status.h"

namespace lbox {

inline constexpr std::chrono::seconds kLockTimeout{60};
inline constexpr uint32_t kMarks = 1024;

class StoreLock {
 public:
  // Takes over the opened lock file.
  StoreLock(std::unique_ptr<File> file, std::string path);
  ~StoreLock();  // takes the mark away
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

  // A held lock; released on destruction. Must not outlive the StoreLock.
  class Held {
   public:
    Held() = default;
    Held(StoreLock* lock, void (StoreLock::*release)()) : lock_(lock), release_(release) {}
    Held(Held&& other) noexcept;
    Held& operator=(Held&& other) noexcept;
    ~Held() { Release(); }
    void Release();
    explicit operator bool() const { return lock_ != nullptr; }

   private:
    StoreLock* lock_ = nullptr;
    void (StoreLock::*release_)() = nullptr;
  };

  // Counted: this process may hold it many times, also while it holds the exclusive lock.
  Result<Held> Shared();
  // Waits. This process must hold nothing.
  Result<Held> Exclusive();
  // Does not wait: an empty Held when another process, or this one, holds the lock in any way.
  Result<Held> TryExclusive();
  Result<Held> Gate();
  // Does not wait: an empty Held when another process does upkeep.
  Held TryUpkeep();

  // Before LMDB maps the index.
  void Mark();
  void LeaveNoMark() { may_mark_ = false; }
  // Processes that left their mark and are no more. Costs one read of the file.
  std::vector<uint32_t> DeadMarks();
  void RemoveMarks(const std::vector<uint32_t>& processes);

 private:
  void SetMark(uint32_t process, uint32_t value);
  void ReleaseShared();
  void ReleaseExclusive();
  void ReleaseGate();
  void ReleaseUpkeep();
  Status Wait(int operation);  // flock operation with LOCK_NB, until it succeeds

  const std::unique_ptr<File> file_;
  const std::string path_;
  // A forked child has the same open file: what it unlocked would be unlocked for its parent.
  const pid_t pid_;
  int shared_ = 0;
  bool exclusive_ = false;
  bool may_mark_ = true;
  bool marked_ = false;
};

}  // namespace lbox

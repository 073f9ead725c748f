// The index of a store: the generation that CURRENT names, and transactions on it.
//
// Purpose: whoever works with rows gives Read or Write a closure; everything that can come between
// (another process grew the file or switched the generation, the map is full, dead readers fill the
// table) is dealt with here, and the closure runs again. Ownership: one per open store. Threads:
// one; transactions do not nest. Processes: after fork() every call fails. Failure: kFull when the
// map may not grow (saves stop kReserveBytes earlier than deletions), kNoSpace when the disk is
// full, kAborted never; after a failure nothing of the transaction is left. Crash rule: a
// generation is given up by setting meta.superseded in it, durably, once the next one is complete
// and durable; only then CURRENT is switched. So whoever finds the mark and the old CURRENT
// switches CURRENT itself; no transaction commits to a generation that has the mark.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "storage/current_file.h"
#include "storage/index_env.h"
#include "storage/journal.h"
#include "storage/status.h"
#include "storage/store_lock.h"
#include "storage/txn.h"

namespace lbox {

// Who may use the last kReserveBytes of the map; and who has no disk to spare for the journal.
enum class Purpose { kSave, kDelete, kDeleteOnFullDisk };

class Index {
 public:
  Index(const IndexOptions& options, std::string folder);
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // Creates generation 1 with a meta row for `uuid`, and the first journal. Needs the exclusive
  // lock; CURRENT is the caller's.
  Status Create(const Guid& uuid);
  // Opens what CURRENT names and checks that it is this store's.
  Status Open();
  void Close();

  using Work = std::function<Status(Txn&)>;
  Status Read(const Work& work);
  // Durable after this, when ok: all that `work` wrote (unless flushing is off, or `work` says that
  // it can be done again: Txn::redoable). `work` may run several times.
  Status Write(Purpose purpose, const Work& work);

  [[nodiscard]] uint64_t generation() const { return current_.generation; }
  // As CURRENT said when it was read.
  [[nodiscard]] uint32_t format() const { return current_.format; }
  [[nodiscard]] const Guid& uuid() const { return current_.uuid; }
  [[nodiscard]] IndexEnv& env() { return *env_; }
  [[nodiscard]] const IndexOptions& options() const { return options_; }

  // LMDB's number of the newest transaction in the generation that is open, whoever committed it; 0
  // when none is open. No system call; that the index was replaced is not seen.
  [[nodiscard]] uint64_t NewestTransaction() const {
    return env_ == nullptr ? 0 : env_->NewestTransaction();
  }
  // See IndexEnv::ReadAhead.
  void ReadAhead() {
    if (env_ != nullptr) {
      env_->ReadAhead();
    }
  }
  // Read transactions so far, for tests.
  [[nodiscard]] uint64_t reads() const { return reads_; }
  // The meta row as the last transaction saw it.
  [[nodiscard]] const MetaRow& last_meta() const { return last_meta_; }
  // The journal in use, for whoever begins the next; appending is done here.
  [[nodiscard]] JournalFile& journal() { return journal_; }
  // After a Write that failed: its commit may be in effect all the same, now or after a power cut.
  // What it named must stay.
  [[nodiscard]] bool in_doubt() const { return in_doubt_; }
  // Pending rows whose files are gone; the next write transaction removes them.
  void ForgetPending(const PendingFile& file) { gone_.insert({file.kind, file.id}); }
  [[nodiscard]] bool HasForgotten() const { return !gone_.empty(); }

 private:
  Status CheckProcess() const;
  Status EnsureOpen();
  Status OpenCurrent(bool& again);
  Status FinishSwitch(const CurrentFile& old);
  // Begins, reopening as often as other processes make it necessary. The meta row is loaded.
  Status BeginTxn(bool writable, std::unique_ptr<Txn>& txn);
  Status SettleDoubt();
  bool IsUndone(uint64_t transaction);
  bool HasRoom(Txn& txn, Purpose purpose);
  Status WorkAndCommit(Txn& txn, Purpose purpose, const Work& work);
  Status DiskFullOr(const Status& status);

  const IndexOptions options_;
  const std::string folder_;
  const pid_t pid_;
  CurrentFile current_;
  std::unique_ptr<IndexEnv> env_;
  JournalFile journal_;
  MetaRow last_meta_;
  bool doubtful_ = false;  // a commit failed, and nothing was flushed since
  bool in_doubt_ = false;
  uint64_t writes_ = 0, reads_ = 0;
  std::set<std::pair<FileKind, uint64_t>> gone_;
};

}  // namespace lbox

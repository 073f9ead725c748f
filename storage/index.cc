#include "storage/index.h"

#include <cerrno>
#include <ctime>

#include <unistd.h>

#include "storage/advice.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// A killed process may leave a reader behind, which keeps freed pages from being used again.
constexpr uint64_t kWritesBetweenReaderChecks = 16;

constexpr int kMaxReopens = 20;  // each one is caused by a step that another process has made

JournalSpace SpaceFor(Purpose purpose) {
  return purpose == Purpose::kSave     ? JournalSpace::kNeeded
         : purpose == Purpose::kDelete ? JournalSpace::kIfAny
                                       : JournalSpace::kNone;
}

}  // namespace

Index::Index(const IndexOptions& options, std::string folder)
    : options_(options),
      folder_(std::move(folder)),
      pid_(getpid()),
      journal_({options.env, folder_, options.mode, options.gid, options.sync}) {}

Index::~Index() = default;

void Index::Close() {
  env_.reset();
}

Status Index::CheckProcess() const {
  if (pid_ != getpid()) {
    return Status(Code::kUnavailable,
                  "the store " + folder_ + " was opened before fork(); open it in the child");
  }
  return {};
}

Status Index::Create(const Guid& uuid) {
  current_ = {1, uuid};
  env_ = std::make_unique<IndexEnv>(options_, IndexPath(folder_, current_.generation));
  LBOX_RETURN_IF_ERROR(env_->Create());
  MDB_txn* raw = nullptr;
  const int rc = env_->BeginWrite(&raw);
  if (rc != 0) {
    return LmdbStatus(rc, "creating " + env_->path());
  }
  Txn txn(raw, *env_, true);
  txn.meta.uuid = uuid;
  txn.meta.copied_at = static_cast<uint32_t>(time(nullptr));
  LBOX_RETURN_IF_ERROR(journal_.Begin(txn.meta));
  LBOX_RETURN_IF_ERROR(txn.StoreMeta());
  last_meta_ = txn.meta;
  return txn.Commit();
}

Status Index::Open() {
  LBOX_RETURN_IF_ERROR(CheckProcess());
  Close();
  return EnsureOpen();
}

Status Index::EnsureOpen() {
  bool again = false;
  for (int tries = 0; env_ == nullptr || !env_->open() || again; tries++) {
    if (tries == kMaxReopens) {
      return Status(Code::kBusy, folder_ + ": the index is being replaced again and again");
    }
    again = false;
    if (Status status = OpenCurrent(again); !status.ok()) {
      Close();
      return status;
    }
  }
  return {};
}

// The shared lock keeps CURRENT, and the file it names, in place meanwhile.
Status Index::OpenCurrent(bool& again) {
  LBOX_ASSIGN_OR_RETURN(const auto shared, options_.lock->Shared());
  LBOX_ASSIGN_OR_RETURN(const CurrentFile current, ReadCurrent(*options_.env, folder_));
  if (!current_.uuid.empty() && current.uuid != current_.uuid) {
    return Status(Code::kAborted, folder_ + " was replaced by another store while it was in use");
  }
  const std::string path = IndexPath(folder_, current.generation);
  uint64_t min_map = 0;
  if (env_ != nullptr && env_->path() == path) {
    min_map = env_->map_bytes();
  } else {
    Close();
    env_ = std::make_unique<IndexEnv>(options_, path);
  }
  if (Status status = env_->Open(min_map); !status.ok()) {
    if (status.code() == Code::kNotFound) {
      return Status(Code::kCorruption,
                    path + " is missing, though " + folder_ + "/CURRENT names it; " + kRunRepair);
    }
    return status;
  }
  MDB_txn* raw = nullptr;
  if (const int rc = env_->BeginRead(&raw); rc != 0) {
    return LmdbStatus(rc, "reading " + path);
  }
  MetaRow meta;
  {
    Txn txn(raw, *env_, false);
    LBOX_RETURN_IF_ERROR(txn.LoadMeta());
    meta = txn.meta;
  }
  if (meta.uuid != current.uuid) {
    return Status(Code::kCorruption, path + " belongs to the store " + ToHex(meta.uuid) + ", but " +
                                         folder_ + "/CURRENT to " + ToHex(current.uuid) + "; " +
                                         kRunRepair);
  }
  if (meta.superseded) {
    again = true;
    return FinishSwitch(current);
  }
  current_ = current;
  last_meta_ = meta;
  return {};
}

// The process that superseded `old` died before it switched CURRENT; the next generation is
// complete and durable.
Status Index::FinishSwitch(const CurrentFile& old) {
  Close();
  LBOX_ASSIGN_OR_RETURN(const auto gate, options_.lock->Gate());
  LBOX_ASSIGN_OR_RETURN(CurrentFile current, ReadCurrent(*options_.env, folder_));
  if (current.generation != old.generation) {
    return {};  // another process has done it
  }
  current.generation++;
  const std::string path = IndexPath(folder_, current.generation);
  if (auto file = options_.env->Stat(path); !file.ok()) {
    return Status(Code::kCorruption, IndexPath(folder_, old.generation) + " says that " + path +
                                         " replaces it, but: " + file.status().message() + "; " +
                                         kRunRepair);
  }
  return WriteCurrent(*options_.env, folder_, current, options_.mode, options_.gid, options_.sync);
}

Status Index::BeginTxn(bool writable, std::unique_ptr<Txn>& txn) {
  LBOX_RETURN_IF_ERROR(CheckProcess());
  for (int tries = 0; tries < kMaxReopens; tries++) {
    LBOX_RETURN_IF_ERROR(EnsureOpen());
    LBOX_ASSIGN_OR_RETURN(const bool named, env_->StillNamed());
    if (!named) {
      Close();
      continue;
    }
    if (writable) {
      LBOX_RETURN_IF_ERROR(SettleDoubt());
    }
    if (writable && writes_++ % kWritesBetweenReaderChecks == 0) {
      env_->CheckReaders();
    }
    MDB_txn* raw = nullptr;
    const int rc = writable ? env_->BeginWrite(&raw) : env_->BeginRead(&raw);
    if (rc == MDB_MAP_RESIZED || rc == MDB_PANIC) {
      // Another process grew the file beyond this map; or an earlier commit failed half way.
      env_->Close();
      continue;
    }
    if (rc != 0) {
      return LmdbStatus(rc, std::string(writable ? "writing " : "reading ") + env_->path());
    }
    txn = std::make_unique<Txn>(raw, *env_, writable);
    LBOX_RETURN_IF_ERROR(txn->LoadMeta());
    if (!txn->meta.superseded) {
      last_meta_ = txn->meta;
      return {};
    }
    txn.reset();
    Close();
  }
  return Status(Code::kBusy, folder_ + ": the index is being replaced again and again");
}

Status Index::Read(const Work& work) {
  reads_++;
  std::unique_ptr<Txn> txn;
  LBOX_RETURN_IF_ERROR(BeginTxn(false, txn));
  return work(*txn);
}

// A commit that failed may have reached the disk all the same, though LMDB has taken it back since.
// As long as that is not durable, what the commit named must not be written over or removed.
Status Index::SettleDoubt() {
  if (doubtful_ && options_.sync) {
    // Durable after this: that the commit never was.
    LBOX_RETURN_IF_ERROR(env_->Flush());
  }
  doubtful_ = false;
  return {};
}

// LMDB takes a commit back that fails at its last write, unless that fails, too.
bool Index::IsUndone(uint64_t transaction) {
  std::unique_ptr<Txn> txn;
  return BeginTxn(false, txn).ok() && txn->meta.transaction < transaction;
}

bool Index::HasRoom(Txn& txn, Purpose purpose) {
  const uint64_t reserve = kReserveBytes / env_->page_bytes();
  const uint64_t untaken = env_->UntakenPages(purpose == Purpose::kSave);
  return untaken >= reserve || untaken + txn.FreePages() >= reserve;
}

Status Index::Write(Purpose purpose, const Work& work) {
  // Nobody puts another index in place of this one meanwhile.
  LBOX_ASSIGN_OR_RETURN(const auto shared, options_.lock->Shared());
  in_doubt_ = false;
  for (bool may_grow = true;;) {
    std::unique_ptr<Txn> txn;
    LBOX_RETURN_IF_ERROR(BeginTxn(true, txn));
    if (may_grow && !HasRoom(*txn, purpose)) {
      txn.reset();
      Status status = env_->Grow();
      if (!status.ok() && (purpose == Purpose::kSave || status.code() != Code::kFull)) {
        return status;
      }
      may_grow = status.ok();
      continue;
    }
    Status status = WorkAndCommit(*txn, purpose, work);
    const bool map_full = txn->map_full();
    const uint64_t transaction = txn->meta.transaction;
    txn.reset();
    if (in_doubt_) {
      in_doubt_ = doubtful_ || !IsUndone(transaction);
    }
    if (status.ok() || !map_full) {
      return status.code() == Code::kIo ? DiskFullOr(status) : status;
    }
    if (env_->CheckReaders() == 0) {
      LBOX_RETURN_IF_ERROR(env_->Grow());
    }  // else a dead reader has kept free pages from being used
  }
}

Status Index::WorkAndCommit(Txn& txn, Purpose purpose, const Work& work) {
  for (const auto& [kind, id] : gone_) {
    LBOX_RETURN_IF_ERROR(txn.RemovePending({kind, id}));
  }
  LBOX_RETURN_IF_ERROR(work(txn));
  if (txn.unchanged) {
    return {};
  }
  txn.redoable = txn.redoable && gone_.empty();
  txn.meta.transaction++;
  const MetaRow before = txn.meta;
  LBOX_RETURN_IF_ERROR(journal_.Append(txn.meta, txn.journal, SpaceFor(purpose)));
  Status status = txn.StoreMeta();
  if (!status.ok()) {
    journal_.Void(before);
    return status;
  }
  status = txn.Commit();
  if (!status.ok()) {
    journal_.Void(before);
    doubtful_ = in_doubt_ = true;
    (void)SettleDoubt();  // at once if possible: other processes know nothing of it
    return status;
  }
  txn.index().Extend();
  gone_.clear();
  last_meta_ = txn.meta;
  return {};
}

// LMDB reports a short write, as a full disk or quota causes it, as EIO. Whether it was that is
// found out by writing.
Status Index::DiskFullOr(const Status& status) {
  const std::string path = folder_ + "/tmp/space-probe." + std::to_string(pid_);
  auto file = options_.env->Create(path, false, options_.mode, options_.gid);
  Status probe = file.ok() ? Status() : file.status();
  if (probe.ok()) {
    const std::string bytes(256 * 1024, '\x5a');
    probe = file.value()->WriteAt(0, bytes.data(), bytes.size());
    if (probe.ok()) {
      probe = file.value()->Sync();
    }
  }
  (void)options_.env->Unlink(path);  // what stays is swept by Maintain
  return probe.code() == Code::kNoSpace
             ? Status(Code::kNoSpace, status.message() + " (" + probe.message() + ")")
             : status;
}

}  // namespace lbox

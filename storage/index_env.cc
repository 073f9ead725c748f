#include "storage/index_env.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/address_space.h"
#include "storage/advice.h"
#include "storage/coding.h"
#include "storage/index_file.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

struct TableSpec {
  const char* name;
  unsigned flags;
  MDB_dbi Tables::*handle;
};
constexpr std::array<TableSpec, 9> kTables{{
    {"meta", 0, &Tables::meta},
    {"mailbox", 0, &Tables::mailbox},
    {"mailbox_cold", 0, &Tables::mailbox_cold},
    {"mailbox_guid", 0, &Tables::mailbox_guid},
    {"message", MDB_DUPSORT | MDB_DUPFIXED, &Tables::message},
    {"extra", 0, &Tables::extra},
    {"body", MDB_INTEGERKEY, &Tables::body},
    {"pack", MDB_INTEGERKEY, &Tables::pack},
    {"pending", 0, &Tables::pending},
}};
constexpr unsigned kMaxTables = 16;
constexpr uint64_t kMostReadAhead = 32 * kMiB;  // some 150,000 messages

std::string Mebibytes(uint64_t bytes) {
  return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB";
}

uint64_t RoundDown(uint64_t bytes, uint64_t unit) {
  return bytes - bytes % unit;
}

}  // namespace

uint64_t NextMapBytes(uint64_t bytes) {
  if (bytes < kFirstMapBytes) {
    return kFirstMapBytes;
  }
  uint64_t size = kFirstMapBytes;
  while (size <= bytes) {
    size = size < 64 * kMiB ? size * 2 : RoundDown(bytes, kMapStepBytes) + kMapStepBytes;
  }
  return size;
}

IndexEnv::IndexEnv(const IndexOptions& options, std::string path)
    : options_(options), path_(std::move(path)) {}

IndexEnv::~IndexEnv() {
  Close();
}

void IndexEnv::Close() {
  if (env_ == nullptr) {
    return;
  }
  // In a forked child the environment is the parent's: closing it here could take its locks down.
  if (pid_ == getpid()) {
    if (read_ != nullptr) {
      mdb_txn_abort(read_);
    }
    // Without the gate (only after a minute's wait for it) closing is no worse than being killed.
    const auto gate = options_.lock->Gate();
    mdb_env_close(env_);
  }
  env_ = nullptr;
  read_ = nullptr;
  tables_ = {};
}

Result<bool> IndexEnv::StillNamed() const {
  const auto info = options_.env->Stat(path_);
  if (info.status().code() == Code::kNotFound) {
    return false;
  }
  LBOX_RETURN_IF_ERROR(info.status());
  return info->device == device_ && info->inode == inode_;
}

uint64_t IndexEnv::MapLimit() const {
  return MapLimit(AddressSpaceLeft());
}

uint64_t IndexEnv::MapLimit(uint64_t left) const {
  uint64_t limit = options_.max_map_bytes == 0 ? kNoLimit : options_.max_map_bytes;
  if (left != kNoLimit) {
    const uint64_t available = left + (open() ? map_bytes_ : 0);
    limit = std::min(limit, available > kKeepAddressSpace ? available - kKeepAddressSpace : 0);
  }
  return limit;
}

Status IndexEnv::Create(uint64_t map_bytes) {
  {
    LBOX_ASSIGN_OR_RETURN(auto file,
                          options_.env->Create(path_, true, options_.mode, options_.gid));
  }
  Close();
  const uint64_t limit = MapLimit();
  if (limit < kMiB) {
    return Status(Code::kFull,
                  "cannot map " + path_ + ": the process's address space is used up (vsz_limit)");
  }
  LBOX_RETURN_IF_ERROR(OpenFile(std::min(map_bytes, RoundDown(limit, 65536)), true));
  limit_bytes_ = limit;
  return options_.sync ? Flush() : Status();
}

Status IndexEnv::Open(uint64_t min_map) {
  Close();
  LBOX_ASSIGN_OR_RETURN(const IndexFileInfo info, ReadIndexFile(*options_.env, path_));
  const uint64_t left = AddressSpaceLeft();
  const uint64_t limit = MapLimit(left);
  // A file larger than the configured limit can still be read and emptied, if it can be mapped.
  if (left != kNoLimit &&
      info.used_bytes > (left > kKeepAddressSpace ? left - kKeepAddressSpace : 0)) {
    return Status(Code::kFull, path_ + " needs " + Mebibytes(info.used_bytes) +
                                   " of address space; the process has " + Mebibytes(left) +
                                   " left and needs some of it itself. Raise vsz_limit");
  }
  uint64_t size = NextMapBytes(std::max(info.used_bytes, min_map) - 1);
  if (size > limit) {
    size = std::max(RoundDown(limit, info.page_bytes), info.used_bytes);
  }
  if (size < info.used_bytes + kReserveBytes &&
      (left == kNoLimit || left > info.used_bytes + kReserveBytes)) {
    size = info.used_bytes + kReserveBytes;
  }
  LBOX_RETURN_IF_ERROR(OpenFile(size, false));
  limit_bytes_ = limit;
  return {};
}

Status IndexEnv::Grow() {
  const uint64_t before = map_bytes_;
  const uint64_t limit = RoundDown(MapLimit(), page_bytes_);
  const uint64_t wanted = std::min(NextMapBytes(before), limit);
  if (!open() || wanted < before + kMiB) {
    return Status(Code::kFull,
                  path_ + " may not grow beyond its map of " + Mebibytes(before) + " (limit " +
                      Mebibytes(limit) +
                      "). Delete mail, or raise vsz_limit or the limit of the index map");
  }
  LBOX_RETURN_IF_ERROR(Open(wanted));
  return map_bytes_ > before ? Status()
                             : Status(Code::kFull, path_ + " could not be mapped larger");
}

Status IndexEnv::OpenFile(uint64_t map_bytes, bool create) {
  const std::string action = (create ? "creating " : "opening ") + path_;
  // LMDB would create it with the umask's mode. It is never opened here while LMDB has it open:
  // closing any descriptor of it drops LMDB's locks.
  if (const auto lock_file = options_.env->Stat(path_ + "-lock");
      lock_file.status().code() == Code::kNotFound) {
    LBOX_RETURN_IF_ERROR(
        options_.env->Create(path_ + "-lock", false, options_.mode, options_.gid).status());
  }

  options_.lock->Mark();
  LBOX_ASSIGN_OR_RETURN(const auto gate, options_.lock->Gate());
  unsigned flags = MDB_NOSUBDIR | MDB_NORDAHEAD | MDB_NOTLS;
  if (!options_.sync) {
    flags |= MDB_NOSYNC;
  }
  MDB_env* env = nullptr;
  int rc = 0;
  do {  // LMDB gives up where a signal interrupts
    env = nullptr;
    if ((rc = mdb_env_create(&env)) != 0) {
      return LmdbStatus(rc, action);
    }
    if ((rc = mdb_env_set_maxdbs(env, kMaxTables)) != 0 ||
        (rc = mdb_env_set_maxreaders(env, kMaxReaders)) != 0 ||
        (rc = mdb_env_set_mapsize(env, map_bytes)) != 0 ||
        (rc = mdb_env_open(env, path_.c_str(), flags, static_cast<mdb_mode_t>(options_.mode))) !=
            0) {
      mdb_env_close(env);
    }
  } while (rc == EINTR);
  if (rc != 0) {
    return LmdbStatus(rc, action);
  }
  env_ = env;
  pid_ = getpid();
  int descriptor = -1;
  if (mdb_env_get_fd(env_, &descriptor) == 0) {
    fcntl(descriptor, F_SETFD,
          FD_CLOEXEC);  // 0.9.24 leaves it open for programs run by this process
  }
  struct stat file {};
  if (descriptor != -1 && fstat(descriptor, &file) == 0) {
    device_ = file.st_dev;
    inode_ = file.st_ino;
  }
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(env_, &info);
  mdb_env_stat(env_, &stat);
  map_bytes_ = info.me_mapsize;
  page_bytes_ = stat.ms_psize;
  Extend();
  CheckReaders();
  Status status = OpenTables(create);
  if (!status.ok()) {
    mdb_env_close(env_);
    env_ = nullptr;
  }
  return status;
}

Status IndexEnv::OpenTables(bool create) {
  MDB_txn* txn = nullptr;
  int rc = Begin(create ? 0 : MDB_RDONLY, &txn);
  if (rc != 0) {
    return LmdbStatus(rc, "opening the tables of " + path_);
  }
  for (const TableSpec& table : kTables) {
    rc = mdb_dbi_open(txn, table.name, table.flags | (create ? MDB_CREATE : 0),
                      &(tables_.*table.handle));
    if (rc != 0) {
      mdb_txn_abort(txn);
      if (rc == MDB_NOTFOUND) {
        return Status(Code::kCorruption,
                      path_ + " has no table '" + table.name + "'; " + kRunRepair);
      }
      return LmdbStatus(rc, std::string("opening table '") + table.name + "' of " + path_);
    }
  }
  // Also of a read transaction: aborting it would close the handles.
  rc = mdb_txn_commit(txn);
  return rc == 0 ? Status() : LmdbStatus(rc, "opening the tables of " + path_);
}

int IndexEnv::Begin(unsigned flags, MDB_txn** txn) {
  int rc = mdb_txn_begin(env_, nullptr, flags, txn);
  if (rc == MDB_READERS_FULL) {
    CheckReaders();
    rc = mdb_txn_begin(env_, nullptr, flags, txn);
  }
  return rc;
}

int IndexEnv::BeginRead(MDB_txn** txn) {
  int rc = 0;
  if (read_ == nullptr) {
    rc = Begin(MDB_RDONLY, &read_);
  } else if ((rc = mdb_txn_renew(read_)) != 0) {
    // Its slot may be gone (cleared by a reader check that took this process for dead).
    mdb_txn_abort(read_);
    read_ = nullptr;
    rc = rc == MDB_BAD_RSLOT ? Begin(MDB_RDONLY, &read_) : rc;
  }
  *txn = read_;
  return rc;
}

void IndexEnv::ReadAhead() {
  MDB_envinfo info;
  int file = -1;
  if (env_ == nullptr || mdb_env_info(env_, &info) != 0 || mdb_env_get_fd(env_, &file) != 0) {
    return;
  }
  const uint64_t bytes = (info.me_last_pgno + 1) * page_bytes_;
  if (bytes > kMostReadAhead) {
    return;
  }
  for (const uint64_t page : {info.me_last_pgno / 2, info.me_last_pgno}) {
    char byte = 0;
    const iovec one{&byte, 1};
    if (preadv2(file, &one, 1, static_cast<off_t>(page * page_bytes_), RWF_NOWAIT) < 0 &&
        errno == EAGAIN) {
      (void)posix_fadvise(file, 0, static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
      return;
    }
  }
}

uint64_t IndexEnv::NewestTransaction() const {
  MDB_envinfo info;
  return env_ != nullptr && mdb_env_info(env_, &info) == 0 ? info.me_last_txnid : 0;
}

void IndexEnv::EndRead() {
  mdb_txn_reset(read_);
}

void IndexEnv::Extend() {
  int descriptor = -1;
  struct stat st {};
  if (mdb_env_get_fd(env_, &descriptor) != 0 || fstat(descriptor, &st) != 0) {
    return;
  }
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  const auto used = static_cast<off_t>((info.me_last_pgno + 1) * page_bytes_);
  if (st.st_size < used) {
    // Not ftruncate: another process may have made the file longer by now, and written there.
    // Failing is as well: no page that was ever written is missing.
    (void)fallocate(descriptor, 0, used - static_cast<off_t>(page_bytes_),
                    static_cast<off_t>(page_bytes_));
  }
}

uint64_t IndexEnv::TakenPages() const {
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  return info.me_last_pgno + 1;
}

uint64_t IndexEnv::UntakenPages(bool for_saves) const {
  const uint64_t pages =
      (for_saves ? std::min(map_bytes_, limit_bytes_) : map_bytes_) / page_bytes_;
  const uint64_t taken = TakenPages();
  return pages > taken ? pages - taken : 0;
}

int IndexEnv::CheckReaders() {
  int dead = 0;
  return mdb_reader_check(env_, &dead) == 0 ? dead : 0;
}

Status IndexEnv::Flush() {
  const int rc = mdb_env_sync(env_, 1);
  return rc == 0 ? Status() : LmdbStatus(rc, "flushing " + path_);
}

}  // namespace lbox

#include "quota/lmdb_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>

#include "storage/lmdb_status.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr std::array<const char*, LmdbFile::kTables> kNames = {"meta", "source", "total", "value"};
constexpr uint64_t kMapStep = 1ULL << 20;

MDB_val ToVal(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

std::string_view View(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

}  // namespace

Status LmdbFile::Error(int rc, const char* what) const {
  return lbox::LmdbStatus(rc, std::string(what) + "(" + path_ + ")");
}

Result<LmdbFile> LmdbFile::Open(const std::string& path, uint64_t map_bytes) {
  struct stat info {};
  const uint64_t there = stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
  LmdbFile file(path, std::max(map_bytes, (there / kMapStep + 2) * kMapStep));
  LBOX_RETURN_IF_ERROR(file.OpenMap());
  return file;
}

LmdbFile::LmdbFile(LmdbFile&& other) noexcept
    : path_(std::move(other.path_)),
      map_bytes_(other.map_bytes_),
      env_(std::exchange(other.env_, nullptr)),
      txn_(std::exchange(other.txn_, nullptr)) {
  std::copy(std::begin(other.tables_), std::end(other.tables_), std::begin(tables_));
}

LmdbFile::~LmdbFile() {
  Close();
}

void LmdbFile::Close() {
  Abort();
  if (env_ != nullptr) {
    mdb_env_close(std::exchange(env_, nullptr));
  }
}

Status LmdbFile::OpenMap() {
  int rc = mdb_env_create(&env_);
  if (rc != 0) {
    return Error(rc, "mdb_env_create");
  }
  if ((rc = mdb_env_set_maxdbs(env_, kTables)) != 0 ||
      (rc = mdb_env_set_mapsize(env_, map_bytes_)) != 0 ||
      (rc = mdb_env_open(env_, path_.c_str(), MDB_NOSUBDIR | MDB_NORDAHEAD, 0600)) != 0) {
    Status status = Error(rc, "mdb_env_open");
    Close();
    return status;
  }
  int descriptor = -1;
  if (mdb_env_get_fd(env_, &descriptor) == 0) {
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  }
  Status status = OpenTables();
  if (!status.ok()) {
    Close();
  }
  return status;
}

Status LmdbFile::OpenTables() {
  MDB_txn* txn = nullptr;
  int rc = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (rc != 0) {
    return Error(rc, "mdb_txn_begin");
  }
  for (size_t i = 0; i < kTables; ++i) {
    if ((rc = mdb_dbi_open(txn, kNames[i], MDB_CREATE, &tables_[i])) != 0) {
      mdb_txn_abort(txn);
      return Error(rc, "mdb_dbi_open");
    }
  }
  rc = mdb_txn_commit(txn);
  return rc == 0 ? Status() : Error(rc, "mdb_txn_commit");
}

Status LmdbFile::Begin() {
  if (txn_ != nullptr) {
    return {};
  }
  if (env_ == nullptr) {
    LBOX_RETURN_IF_ERROR(OpenMap());
  }
  const int rc = mdb_txn_begin(env_, nullptr, 0, &txn_);
  return rc == 0 ? Status() : Error(rc, "mdb_txn_begin");
}

Result<std::string> LmdbFile::Get(Table table, std::string_view key) {
  if (key.empty()) {
    return Status(Code::kNotFound, "no key");
  }
  LBOX_RETURN_IF_ERROR(Begin());
  MDB_val name = ToVal(key);
  MDB_val value{};
  const int rc = mdb_get(txn_, tables_[static_cast<size_t>(table)], &name, &value);
  if (rc != 0) {
    return Error(rc == MDB_BAD_VALSIZE ? MDB_NOTFOUND : rc, "mdb_get");
  }
  return std::string(View(value));
}

Status LmdbFile::Put(Table table, std::string_view key, std::string_view value) {
  LBOX_RETURN_IF_ERROR(Begin());
  MDB_val name = ToVal(key);
  MDB_val bytes = ToVal(value);
  const int rc = mdb_put(txn_, tables_[static_cast<size_t>(table)], &name, &bytes, 0);
  return rc == 0 ? Status() : Error(rc, "mdb_put");
}

Status LmdbFile::Remove(Table table, std::string_view key) {
  LBOX_RETURN_IF_ERROR(Begin());
  MDB_val name = ToVal(key);
  const int rc = mdb_del(txn_, tables_[static_cast<size_t>(table)], &name, nullptr);
  return rc == 0 || rc == MDB_NOTFOUND ? Status() : Error(rc, "mdb_del");
}

Status LmdbFile::ForEach(
    Table table, std::string_view start,
    const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  LBOX_RETURN_IF_ERROR(Begin());
  MDB_cursor* cursor = nullptr;
  int rc = mdb_cursor_open(txn_, tables_[static_cast<size_t>(table)], &cursor);
  if (rc != 0) {
    return Error(rc, "mdb_cursor_open");
  }
  const std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> closer(cursor, mdb_cursor_close);
  MDB_val key = ToVal(start);
  MDB_val value{};
  rc = mdb_cursor_get(cursor, &key, &value, start.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (rc == 0 && visit(View(key), View(value))) {
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  return rc == 0 || rc == MDB_NOTFOUND ? Status() : Error(rc, "mdb_cursor_get");
}

Status LmdbFile::Commit() {
  if (txn_ == nullptr) {
    return {};
  }
  const int rc = mdb_txn_commit(std::exchange(txn_, nullptr));
  return rc == 0 ? Status() : Error(rc, "mdb_txn_commit");
}

void LmdbFile::Abort() {
  if (txn_ != nullptr) {
    mdb_txn_abort(std::exchange(txn_, nullptr));
  }
}

Status LmdbFile::Grow() {
  Close();
  const uint64_t before = map_bytes_;
  map_bytes_ = before * 2;
  Status status = OpenMap();
  if (status.ok()) {
    return status;
  }
  map_bytes_ = before;
  LBOX_RETURN_IF_ERROR(OpenMap());
  return Status(Code::kFull, path_ + " cannot be mapped with " + std::to_string(before * 2) +
                                 " bytes (vsz_limit of the service?): " + status.message());
}

uint64_t LmdbFile::LastCommit() const {
  MDB_envinfo info{};
  if (env_ != nullptr) {
    mdb_env_info(env_, &info);
  }
  return info.me_last_txnid;
}

}  // namespace hosting

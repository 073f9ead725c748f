// LmdbFile: LMDB's environment of the ledger, with one write transaction that is always there.
//
// Purpose: LMDB's rules in one place: the map grows only with no transaction open, by closing and
// opening again (a failed mdb_env_set_mapsize leaves no map). Ownership: one in a process. Process
// rules: one thread (the write transaction is bound to it); not across fork. Failure modes: kFull
// when the map is too small: Grow(), then do everything since the last commit again. Crash rule: a
// commit is there or not.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "quota/status.h"

struct MDB_env;
struct MDB_txn;

namespace hosting {

class LmdbFile {
 public:
  enum class Table : uint8_t { kMeta, kSource, kTotals, kValue };
  static constexpr size_t kTables = 4;

  static Result<LmdbFile> Open(const std::string& path, uint64_t map_bytes);
  LmdbFile(LmdbFile&& other) noexcept;
  LmdbFile& operator=(LmdbFile&&) = delete;
  ~LmdbFile();

  Result<std::string> Get(Table table, std::string_view key);  // kNotFound
  Status Put(Table table, std::string_view key, std::string_view value);
  Status Remove(Table table, std::string_view key);  // ok when it is not there
  // From the first key at or behind start, until visit gives false. It must not change the file.
  Status ForEach(Table table, std::string_view start,
                 const std::function<bool(std::string_view key, std::string_view value)>& visit);

  // Durable after this: everything put so far. After a failure all of it is undone.
  Status Commit();
  // Undoes what was not committed.
  void Abort();
  // A larger map. Undoes what was not committed.
  Status Grow();
  // Number of the last commit.
  [[nodiscard]] uint64_t LastCommit() const;

 private:
  LmdbFile(std::string path, uint64_t map_bytes) : path_(std::move(path)), map_bytes_(map_bytes) {}
  Status OpenMap();
  Status OpenTables();
  Status Begin();  // when there is no transaction
  void Close();
  [[nodiscard]] Status Error(int rc, const char* what) const;

  std::string path_;
  uint64_t map_bytes_;
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
  unsigned tables_[kTables] = {};
};

}  // namespace hosting

#include "quota/login_table_file.h"

#include <sys/stat.h>

#include <cerrno>

#include "quota/policy_snapshot.h"

namespace hosting {

void LoginTableFile::Complain(const std::string& text) {
  if (text != complained_) {
    complained_ = text;
    log_(text + (table_ ? "; the last good policy stays in use" : ""));
  }
}

const std::shared_ptr<const LoginTable>& LoginTableFile::Get() {
  struct stat s {};
  if (stat(path_.c_str(), &s) != 0) {
    seen_ns_ = -1;
    Complain(Status::FromErrno("login table " + path_, errno).message());
    return table_;
  }
  const FileId id = {s.st_dev, s.st_ino};
  const int64_t changed = s.st_ctim.tv_sec * 1'000'000'000 + s.st_ctim.tv_nsec;
  if (id == seen_ && changed == seen_ns_) {
    return table_;
  }
  // What is bad is not read again before it changes.
  seen_ = id;
  seen_ns_ = changed;
  auto table = ReadLoginTable(path_);
  if (!table.ok()) {
    Complain(table.status().message());
    return table_;
  }
  complained_.clear();
  table_ = std::move(*table);
  return table_;
}

Result<std::shared_ptr<const LoginTable>> ReadLoginTable(const std::string& path) {
  auto bytes = ReadUpTo(path, kMaxLoginTable + 1);
  if (!bytes.ok()) {
    return bytes.status();
  }
  auto table = LoginTable::Open(std::move(*bytes));
  if (!table.ok()) {
    return Status(table.status().code(), path + ": " + table.status().message());
  }
  return table;
}

}  // namespace hosting

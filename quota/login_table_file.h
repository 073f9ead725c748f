// LoginTableFile: the login table in use, read again when hosting-usage has replaced its file.
//
// Purpose: what auth asks at each login. Ownership: owns the table; what Get gave stays as long as
// it is held. The file is read, not mapped: a file that somebody cuts short would end a process
// that has it mapped. Process rules: one thread; one stat a call. Failure modes: a missing or bad
// file leaves the last good table in use, and says so once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "quota/login_table.h"
#include "quota/web_open.h"

namespace hosting {

class LoginTableFile {
 public:
  using Log = std::function<void(const std::string&)>;

  LoginTableFile(std::string path, Log log) : path_(std::move(path)), log_(std::move(log)) {}
  // Null as long as there has been no good one.
  const std::shared_ptr<const LoginTable>& Get();

 private:
  void Complain(const std::string& text);

  const std::string path_;
  const Log log_;
  FileId seen_;
  int64_t seen_ns_ = -1;    // its time of change
  std::string complained_;  // of this already
  std::shared_ptr<const LoginTable> table_;
};

// Reads and checks a table.
Result<std::shared_ptr<const LoginTable>> ReadLoginTable(const std::string& path);

}  // namespace hosting

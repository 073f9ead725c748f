// Status and Result<T>: how storage/ reports what went wrong.
//
// Purpose: one closed set of codes, so that a caller can decide (retry, tempfail, "expunged",
// "damaged") without parsing text, and a message that an operator can act on alone: what was being
// done, to which object, and the system's reason.
// Ownership: values; copyable. Threads: no shared state. Crash rule: none (nothing on disk).
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace lbox {

enum class Code {
  kOk,
  kNotFound,     // the mailbox, message or file asked for is not there (any more): ENOENT, ENOTDIR
  kCorruption,   // bytes on disk are not what was written; never used for a full disk
  kIo,           // the system refused a read or write for another reason (EIO, EROFS, ELOOP ...)
  kNoSpace,      // ENOSPC or EDQUOT
  kFull,         // the index map may not grow further (address space or configured limit)
  kBusy,         // a lock was not had in time
  kInvalid,      // the caller asked for something that can never work (message over 4 GiB ...)
  kPermission,   // EACCES, EPERM, or the store belongs to another uid
  kUnavailable,  // not now, may pass: out of memory or descriptors (ENOMEM, EMFILE, ENFILE, EAGAIN)
  kUnsupported,  // newer format, remote file system
  kAborted,      // gave up because the world changed meanwhile (EEXIST ...); try again
};

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {
    assert(code != Code::kOk);
  }

  // "<what>: <strerror(error)>", with the code that belongs to errno value `error`.
  static Status FromErrno(std::string_view what, int error);

  [[nodiscard]] bool ok() const { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    assert(!status_.ok());
  }

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] T& value() {
    assert(ok());
    return *value_;
  }
  [[nodiscard]] const T& value() const {
    assert(ok());
    return *value_;
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace lbox

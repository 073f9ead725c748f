// The system calls by which this program's store changes files, seen and changed on their way.
//
// Purpose: one seam below both storage/ and LMDB, which do their file work through libc: calls.cc
// defines those functions in the test program itself, so that the program's and LMDB's calls arrive
// here first.
// One observer at a time. Threads: one. Calls of libc's own inside (fopen, ofstream) are not seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lbox::testing {

enum class CallKind {
  kOpen,
  kClose,
  kMakeDirectory,
  kRead,
  kWrite,
  kTruncate,
  kAllocate,
  kSync,
  kRename,
  kLink,
  kUnlink,
  kStat,
  kList,
  kLock,
  kMap,
};
const char* CallName(CallKind kind);

struct Call {
  CallKind kind;
  int fd = -1;                    // of an open file
  const char* path = "";          // or by name; for kMap and the others on files: ""
  const char* path2 = "";         // kRename, kLink
  int flags = 0;                  // kOpen
  const uint8_t* data = nullptr;  // kWrite: what is written, gathered
  size_t size = 0;      // kRead, kWrite: bytes; kTruncate: the new size; kAllocate: up to here
  uint64_t offset = 0;  // kRead, kWrite, kAllocate
  int error = 0;        // for After: errno, when it failed
  bool made = false;    // set by Before together with an error: it is made all the same
};

class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // Before the call is made. What it returns becomes errno, and the call is not made; 0: go on. It
  // may lower call.size of kRead and kWrite: a short transfer.
  virtual int Before(Call& call) {
    (void)call;
    return 0;
  }
  // After it, with its result (-1: failed).
  virtual void After(const Call& call, int64_t result) {
    (void)call;
    (void)result;
  }
  // Flushes cost time and give nothing where nobody cuts the power: true leaves them out.
  virtual bool skip_flushes() const { return false; }
};

// While it lives, `observer` sees all calls.
class Observe {
 public:
  explicit Observe(CallObserver& observer);
  ~Observe();
  Observe(const Observe&) = delete;
  Observe& operator=(const Observe&) = delete;

 private:
  CallObserver* const before_;
};

}  // namespace lbox::testing

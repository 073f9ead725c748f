// Work that may crash or never come to an end, done in a forked child.
//
// Purpose: LMDB trusts its pages. Reading a damaged index may kill the process or go round in
// circles, so whoever suspects damage reads in a child and learns how it ended. Ownership: nothing
// is shared with the child but the pipe; it opens stores anew and ends with _exit(). Processes: the
// child dies with its parent, leaves no core file, and has default signal handlers. Threads: none,
// in both. Failure: a child that dies, or gives no sign of life for too long, is no failure of
// RunInChild; that the system refuses a pipe, a process or memory is (kUnavailable).
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "storage/status.h"

namespace lbox {

// The child's side of the pipe.
class ChildPipe {
 public:
  explicit ChildPipe(int descriptor) : descriptor_(descriptor) {}
  // Sends a record (kind 0 to 100), which is a sign of life, too.
  void Send(char kind, std::string_view bytes);
  // A sign of life; may be given as often as wanted, costs a system call once in 100 ms.
  void Alive();

 private:
  const int descriptor_;
  std::chrono::steady_clock::time_point last_{};
};

struct ChildOptions {
  std::chrono::milliseconds patience{60'000};  // without a sign of life; the child is killed then
  std::chrono::milliseconds at_most{0};        // in all; 0: no limit
};

struct ChildEnd {
  // kKilled: by somebody (SIGKILL, SIGTERM), which says nothing about what it read.
  enum class Kind { kDone, kDied, kKilled, kStuck, kTimeUp };
  Kind kind = Kind::kDone;
  std::string how;  // for messages: "ended by signal 11 (Segmentation fault)"
};

using ChildWork = std::function<void(ChildPipe&)>;
using ChildReceiver = std::function<void(char kind, std::string_view bytes)>;

// Runs `work` in a child, and `receive` here for each record that it sends.
Result<ChildEnd> RunInChild(const ChildWork& work, const ChildReceiver& receive,
                            const ChildOptions& options);

}  // namespace lbox

#include "tests/fault/failing_calls.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

namespace lbox::testing {

const std::vector<Fault>& Faults() {
  using enum CallKind;
  static const std::vector<Fault> faults{
      {"ENOSPC",
       ENOSPC,
       {kOpen, kMakeDirectory, kWrite, kTruncate, kAllocate, kSync, kRename, kLink},
       {Code::kNoSpace}},
      {"EDQUOT", EDQUOT, {kWrite, kLink}, {Code::kNoSpace}},
      {"EIO",
       EIO,
       {kOpen, kMakeDirectory, kRead, kWrite, kTruncate, kAllocate, kSync, kRename, kLink, kUnlink,
        kStat, kList, kMap},
       {Code::kIo}},
      {"EIO, done all the same", EIO, {kWrite, kRename, kLink, kUnlink}, {Code::kIo}, true},
      {"EMFILE", EMFILE, {kOpen, kList}, {Code::kUnavailable}},
      {"ENOMEM",
       ENOMEM,
       {kOpen, kMakeDirectory, kRename, kLink, kUnlink, kStat, kList, kMap, kLock},
       {Code::kUnavailable}},
      {"EINTR", EINTR, {kOpen, kRead, kWrite, kLock}, {}},
      {"EINTR of a flush", EINTR, {kSync}, {Code::kIo}},  // LMDB gives up
      // LMDB takes a short write for a failing disk, or a full one.
      {"short", 0, {kRead, kWrite}, {Code::kIo, Code::kNoSpace}},
  };
  return faults;
}

void FailingCalls::Arm(const Fault& fault, size_t n, bool all_after) {
  fault_ = &fault;
  left_ = n;
  all_after_ = all_after;
  failed_.clear();
}

int FailingCalls::Before(Call& call) {
  if (fault_ == nullptr || left_ == 0 || !Watched(call) ||
      std::find(fault_->calls.begin(), fault_->calls.end(), call.kind) == fault_->calls.end()) {
    return 0;
  }
  const bool full = fault_->error == ENOSPC || fault_->error == EDQUOT;
  if (full && call.kind == CallKind::kOpen && (call.flags & O_CREAT) == 0) {
    return 0;
  }
  const std::string path = call.fd == -1 ? call.path : PathOf(call.fd);
  // LMDB reads its header by one call; the kernel does not cut such a read short.
  const bool header = call.kind == CallKind::kRead && path.find("/index.") != std::string::npos;
  if (fault_->error == 0 && (call.size < 2 || header)) {
    return 0;
  }
  if (left_ > 1) {
    left_--;
    return 0;
  }
  left_ = all_after_ ? 1 : 0;
  if (failed_.empty()) {
    failed_at_ = trace.ops.size();
    failed_ = CallName(call.kind) + std::string(" ") + path;
  }
  if (fault_->error == 0) {
    call.size /= 2;
  }
  call.made = fault_->made;
  return fault_->error;
}

}  // namespace lbox::testing

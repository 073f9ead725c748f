// Calls that fail when told to.
#pragma once

#include <string>
#include <vector>

#include "storage/status.h"
#include "tests/fault/trace.h"

namespace lbox::testing {

struct Fault {
  const char* name;
  int error;                    // 0: a short transfer
  std::vector<CallKind> calls;  // that may fail so
  std::vector<Code> codes;      // that may come of it; empty: the operation must succeed
  bool made = false;            // the call is made all the same
};

// Full disks, failing disks, too many files, signals.
const std::vector<Fault>& Faults();

class FailingCalls : public Recorder {
 public:
  using Recorder::Recorder;

  // The n-th call (from 1) that `fault` knows fails; or that and all after it.
  void Arm(const Fault& fault, size_t n, bool all_after);
  void Disarm() { fault_ = nullptr; }
  // What failed since Arm; empty: nothing, there were fewer calls.
  [[nodiscard]] const std::string& failed() const { return failed_; }
  // The call of the trace before which it first did.
  [[nodiscard]] size_t failed_at() const { return failed_at_; }
  int Before(Call& call) override;

 private:
  const Fault* fault_ = nullptr;
  size_t left_ = 0;
  bool all_after_ = false;
  size_t failed_at_ = 0;
  std::string failed_;
};

}  // namespace lbox::testing

// Calls that fail, counted: the N-th call that changes something, and as many after it as wanted.
#pragma once

#include <cstdint>

namespace lbox::powercut {

class Faults {
 public:
  // kSpace: calls that may need room on the disk: those that add names, write or make longer, and
  // flushes. kAll: also those that remove or rename, shorten, or change attributes.
  enum class Calls { kSpace, kAll };
  struct Plan {
    int error = 0;  // 0: short writes, which are whole on the next attempt
    Calls calls = Calls::kAll;
    uint64_t first = 0;  // the number of the first call that fails, from 1; 0: none
    uint64_t count = 1;  // calls that fail
  };

  void Set(const Plan& plan) {
    plan_ = plan;
    calls_ = failed_ = 0;
  }
  // Whether this call fails. needs_space: see Calls; write: it is a write of more than a byte.
  bool Meets(bool needs_space, bool write = false) {
    if (plan_.error == 0 ? !write : plan_.calls == Calls::kSpace && !needs_space) {
      return false;
    }
    calls_++;
    if (plan_.first == 0 || calls_ < plan_.first || calls_ - plan_.first >= plan_.count) {
      return false;
    }
    failed_++;
    return true;
  }
  [[nodiscard]] int error() const { return plan_.error; }
  // Since Set.
  [[nodiscard]] uint64_t calls() const { return calls_; }
  [[nodiscard]] uint64_t failed() const { return failed_; }

 private:
  Plan plan_;
  uint64_t calls_ = 0, failed_ = 0;
};

}  // namespace lbox::powercut

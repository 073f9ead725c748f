// What starting a program needs on both sides of fork.
//
// Purpose: shared by those that run the operator's programs (quota/run_program) and doveadm's
// commands (plugin/migrate-child). Ownership: none. Process rules: ResetSignals in the child only;
// it makes nothing but calls that are safe after fork. Failure modes and crash rule: none.
#pragma once

#include <csignal>
#include <string>
#include <vector>

namespace lbox {

// For execve: good as long as `texts` stay as they are.
inline std::vector<char*> ExecPointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// None blocked, none handled or ignored, whatever this process had.
inline void ResetSignals() {
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < 32; ++signal) {
    (void)::signal(signal, SIG_DFL);
  }
}

}  // namespace lbox

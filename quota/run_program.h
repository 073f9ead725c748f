// Runs a program of the operator's: no shell, another uid, a time limit.
//
// Purpose: scripts and sendmail for hosting-warn. Ownership: values. Process rules: blocks until
// the program has ended or its time is over; then it and all that it started in its process group
// are killed. It gets the input, and no other descriptor of this process. Failure modes: told by
// the outcome. Crash rule: none; the program goes on when this process dies.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace hosting {

struct ProgramUser {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct ProgramRun {
  std::vector<std::string> arguments;    // the first one is the program's path
  std::vector<std::string> environment;  // all of it
  std::optional<ProgramUser> user;       // without supplementary groups; none: as this process
  std::string input;
  std::chrono::milliseconds limit{30000};
};

struct ProgramOutcome {
  bool started = false;    // false: nothing was run
  bool timed_out = false;  // it was killed
  int exit_code = -1;      // of one that ended by itself
  int signal = 0;          // that ended it
  std::string output;      // the first octets of what it said, both ways
  [[nodiscard]] bool ok() const { return started && !timed_out && signal == 0 && exit_code == 0; }
};

constexpr int kProgramNotRun = 127;  // exit code of a child that could not become the program

ProgramOutcome RunProgram(const ProgramRun& run);
// "exit code 3: disk is full", for a log.
std::string Describe(const ProgramOutcome& outcome);

}  // namespace hosting

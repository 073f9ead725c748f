// Child: a program that `doveadm lbox migrate` runs, and waits for.
//
// Purpose: doveadm's own commands and the operator's hook. Ownership: an object is one process; it
// is asked to end, then killed, when the object goes before it. It gets an input, and no descriptor
// but its own three. Process rules: fork in a process without threads; waiting ends early when
// StopRequested(). Failure modes: told by the outcome. Crash rule: the program goes on when this
// process dies; EndLeftBehind() ends it later. No Dovecot header.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "quota/descriptor.h"

namespace lbox::migrate {

using hosting::Descriptor;

// Set by the handler of SIGTERM and SIGINT.
void RequestStop();
bool StopRequested();

struct Program {
  std::vector<std::string> arguments;  // the first one is its path, or looked for in PATH
  std::vector<std::string> environment;
  std::string input;
  bool to_its_end = false;  // also when this process is to end
};

struct Outcome {
  int exit_code = -1;      // of one that ended by itself
  int signal = 0;          // that ended it
  bool timed_out = false;  // it was ended, since its time was over
  bool stopped = false;    // likewise, since this process is to end
  std::string output;      // when it was not read meanwhile; at most 1 MiB
  std::string errors;      // the end of what it said on stderr
  [[nodiscard]] bool ok() const { return exit_code == 0 && !timed_out && !stopped; }
  // "exit status 75: User initialization failed"
  [[nodiscard]] std::string Describe() const;
};

class Child {
 public:
  // With `streamed`, output() is a pipe that has to be read.
  explicit Child(const Program& program, bool streamed = false);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] int output() const { return output_.get(); }
  // Until it has ended. limit: after that it is ended.
  Outcome Wait(std::optional<std::chrono::milliseconds> limit = std::nullopt);

 private:
  void End();

  pid_t pid_ = -1;
  Descriptor process_, output_, errors_;
  bool streamed_, to_its_end_;
};

Outcome Run(const Program& program, std::optional<std::chrono::milliseconds> limit = std::nullopt);

// Sees the end of processes that have `mark` in their environment, as their dead parent left them:
// they have `grace` to end by themselves, then get SIGTERM, 15 seconds later SIGKILL. Returns how
// many there were. Needs root.
int EndLeftBehind(std::string_view mark, std::chrono::milliseconds grace);

}  // namespace lbox::migrate

#include "quota/run_program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quota/descriptor.h"
#include "storage/exec.h"

namespace hosting {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxOutput = 500;  // octets that are kept

// In the child: nothing but calls that are safe after fork.
[[noreturn]] void Become(const ProgramRun& run, char* const* arguments, char* const* environment,
                         int input, int output) {
  lbox::ResetSignals();
  bool good = setsid() >= 0 && dup2(input, 0) == 0 && dup2(output, 1) == 1 &&
              dup2(output, 2) == 2 && syscall(SYS_close_range, 3U, ~0U, 0U) == 0 && chdir("/") == 0;
  if (good && run.user) {
    (void)seteuid(0);  // root that has taken another uid for a while is root again
    good = setgroups(0, nullptr) == 0 &&
           setresgid(run.user->gid, run.user->gid, run.user->gid) == 0 &&
           setresuid(run.user->uid, run.user->uid, run.user->uid) == 0;
  }
  if (good) {
    (void)execve(arguments[0], arguments, environment);
  }
  _exit(kProgramNotRun);
}

struct Child {
  pid_t pid = -1;
  Descriptor process, socket;  // its end; and ours of its input and output
};

Child Start(const ProgramRun& run) {
  Child child;
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return child;
  }
  child.socket = Descriptor(ends[0]);
  const Descriptor theirs(ends[1]);
  const auto arguments = lbox::ExecPointers(run.arguments);
  const auto environment = lbox::ExecPointers(run.environment);
  child.pid = fork();
  if (child.pid == 0) {
    Become(run, arguments.data(), environment.data(), theirs.get(), theirs.get());
  }
  if (child.pid > 0) {
    child.process = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0U)));
    (void)fcntl(child.socket.get(), F_SETFL, O_NONBLOCK);
  }
  return child;
}

// What waits to be written and read. False: the program has closed its end.
bool Talk(int socket, std::string_view& input, bool& open, std::string& output) {
  while (open && !input.empty()) {
    const ssize_t sent = send(socket, input.data(), input.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      open = errno == EAGAIN || errno == EINTR;  // else it does not want the rest
      break;
    }
    input.remove_prefix(static_cast<size_t>(sent));
  }
  if (open && input.empty()) {
    open = false;
  }
  if (!open) {
    (void)shutdown(socket, SHUT_WR);
  }
  std::array<char, 4096> bytes{};
  for (;;) {
    const ssize_t got = recv(socket, bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    output.append(bytes.data(), std::min(static_cast<size_t>(got), kMaxOutput - output.size()));
  }
}

}  // namespace

ProgramOutcome RunProgram(const ProgramRun& run) {
  ProgramOutcome outcome;
  const Clock::time_point deadline = Clock::now() + run.limit;
  const Child child = Start(run);
  if (child.pid <= 0) {
    return outcome;
  }
  outcome.started = true;
  std::string_view input = run.input;
  bool open = true, ended = false;
  bool listening = Talk(child.socket.get(), input, open, outcome.output);
  while (!ended) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || !child.process.valid()) {
      outcome.timed_out = true;
      break;
    }
    std::array<struct pollfd, 2> ready{};
    ready[0] = {child.process.get(), POLLIN, 0};
    ready[1] = {listening ? child.socket.get() : -1,
                static_cast<short>(open && !input.empty() ? POLLIN | POLLOUT : POLLIN), 0};
    (void)poll(ready.data(), ready.size(), static_cast<int>(std::min<int64_t>(left, 60000)));
    listening = listening && Talk(child.socket.get(), input, open, outcome.output);
    ended = ready[0].revents != 0;
  }
  if (listening && ended) {
    (void)Talk(child.socket.get(), input, open, outcome.output);
  }
  (void)kill(-child.pid, SIGKILL);  // and whatever it has left behind
  (void)kill(child.pid, SIGKILL);
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!outcome.timed_out && WIFEXITED(status)) {
    outcome.exit_code = WEXITSTATUS(status);
  } else if (!outcome.timed_out && WIFSIGNALED(status)) {
    outcome.signal = WTERMSIG(status);
  }
  return outcome;
}

std::string Describe(const ProgramOutcome& outcome) {
  std::string text = !outcome.started      ? "it could not be started"
                     : outcome.timed_out   ? "it took too long and was killed"
                     : outcome.signal != 0 ? "killed by signal " + std::to_string(outcome.signal)
                                           : "exit code " + std::to_string(outcome.exit_code);
  if (!outcome.output.empty()) {
    text += ": " + outcome.output;
  }
  return text;
}

}  // namespace hosting

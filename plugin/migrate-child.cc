#include "plugin/migrate-child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/migrate-text.h"
#include "storage/exec.h"

namespace lbox::migrate {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMaxOutput = 1 << 20;
constexpr size_t kMaxErrors = 4096;
constexpr milliseconds kPatience{15000};  // of a program that was asked to end
constexpr int kNotRun = 127;

volatile sig_atomic_t stop_requested = 0;

// In the child: nothing but calls that are safe after fork.
[[noreturn]] void Become(char* const* arguments, char* const* environment, int input, int output,
                         int errors) {
  ResetSignals();
  // A process group of its own: what a terminal sends is for the migration to pass on.
  if (setpgid(0, 0) == 0 && dup2(input, 0) == 0 && dup2(output, 1) == 1 && dup2(errors, 2) == 2 &&
      syscall(SYS_close_range, 3U, ~0U, 0U) == 0) {
    (void)execvpe(arguments[0], arguments, environment);
  }
  _exit(kNotRun);
}

Descriptor Memory(const std::string& content) {
  Descriptor file(memfd_create("lbox-migrate", MFD_CLOEXEC));
  std::string_view left = content;
  while (!left.empty()) {
    const ssize_t written = write(file.get(), left.data(), left.size());
    if (written <= 0) {
      break;
    }
    left.remove_prefix(static_cast<size_t>(written));
  }
  (void)lseek(file.get(), 0, SEEK_SET);
  return file;
}

// The last `size` octets of what was written to it.
std::string End(int file, size_t size) {
  const off_t length = lseek(file, 0, SEEK_END);
  const off_t begin = std::max<off_t>(0, length - static_cast<off_t>(size));
  std::string text(static_cast<size_t>(std::max<off_t>(0, length - begin)), '\0');
  const ssize_t got = pread(file, text.data(), text.size(), begin);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

bool Await(int process, milliseconds time) {
  struct pollfd ready {
    process, POLLIN, 0
  };
  return poll(&ready, 1, static_cast<int>(time.count())) > 0;
}

bool HasMark(pid_t pid, std::string_view mark) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return text.find(mark) != std::string::npos;
}

std::vector<pid_t> WithMark(std::string_view mark) {
  std::vector<pid_t> found;
  DIR* directory = opendir("/proc");
  if (directory == nullptr) {
    return found;
  }
  while (const struct dirent* entry = readdir(directory)) {
    const auto pid = ToNumber(entry->d_name);
    if (pid && HasMark(static_cast<pid_t>(*pid), mark)) {
      found.push_back(static_cast<pid_t>(*pid));
    }
  }
  closedir(directory);
  return found;
}

}  // namespace

void RequestStop() {
  stop_requested = 1;
}

bool StopRequested() {
  return stop_requested != 0;
}

std::string Outcome::Describe() const {
  std::string text = stopped       ? "stopped"
                     : timed_out   ? "it took too long and was ended"
                     : signal != 0 ? "killed by signal " + std::to_string(signal)
                                   : "exit status " + std::to_string(exit_code);
  const std::string said = LastLine(errors);
  return said.empty() ? text : text + ": " + said;
}

Child::Child(const Program& program, bool streamed)
    : streamed_(streamed), to_its_end_(program.to_its_end) {
  const Descriptor input = Memory(program.input);
  errors_ = Memory("");
  Descriptor theirs;
  if (streamed) {
    std::array<int, 2> ends{-1, -1};
    (void)pipe2(ends.data(), O_CLOEXEC);
    output_ = Descriptor(ends[0]);
    theirs = Descriptor(ends[1]);
  } else {
    output_ = Memory("");
    theirs = Descriptor(fcntl(output_.get(), F_DUPFD_CLOEXEC, 3));
  }
  const auto arguments = ExecPointers(program.arguments);
  const auto environment = ExecPointers(program.environment);
  pid_ = fork();
  if (pid_ == 0) {
    Become(arguments.data(), environment.data(), input.get(), theirs.get(), errors_.get());
  }
  if (pid_ > 0) {
    process_ = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0U)));
  }
}

Child::~Child() {
  if (pid_ > 0) {
    End();
  }
}

void Child::End() {
  output_.Reset();
  (void)kill(pid_, SIGTERM);
  if (!Await(process_.get(), kPatience)) {
    (void)kill(-pid_, SIGKILL);
    (void)kill(pid_, SIGKILL);
  }
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Outcome Child::Wait(std::optional<milliseconds> limit) {
  Outcome outcome;
  if (pid_ <= 0) {
    outcome.errors = "it could not be started";
    return outcome;
  }
  const Clock::time_point deadline = Clock::now() + limit.value_or(milliseconds(0));
  bool ended = false;
  while (!ended) {
    milliseconds wait{200};
    if (limit) {
      wait = std::min(wait, std::chrono::ceil<milliseconds>(deadline - Clock::now()));
    }
    outcome.timed_out = wait.count() <= 0;
    outcome.stopped = StopRequested() && !to_its_end_;
    if (outcome.timed_out || outcome.stopped) {
      End();
      outcome.errors = migrate::End(errors_.get(), kMaxErrors);
      return outcome;
    }
    ended = Await(process_.get(), wait);
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  outcome.errors = migrate::End(errors_.get(), kMaxErrors);
  if (!streamed_) {
    outcome.output = migrate::End(output_.get(), kMaxOutput);
  }
  return outcome;
}

Outcome Run(const Program& program, std::optional<milliseconds> limit) {
  return Child(program).Wait(limit);
}

int EndLeftBehind(std::string_view mark, milliseconds grace) {
  const Clock::time_point asked = Clock::now() + grace, killed = asked + kPatience;
  std::vector<pid_t> found = WithMark(mark);
  const int count = static_cast<int>(found.size());
  bool told = false;
  while (!found.empty()) {
    const Clock::time_point now = Clock::now();
    if (now >= asked && (!told || now >= killed)) {
      for (const pid_t pid : found) {
        (void)kill(pid, told ? SIGKILL : SIGTERM);
      }
      told = true;
    }
    (void)usleep(50000);
    found = WithMark(mark);
  }
  return count;
}

}  // namespace lbox::migrate

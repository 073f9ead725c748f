#include "storage/child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/coding.h"

namespace lbox {
namespace {

using Clock = std::chrono::steady_clock;

// A record: kind (1), length (4), bytes. The kinds of the caller follow those of this file.
constexpr size_t kRecordHeaderBytes = 5;
constexpr char kAlive = 0, kDone = 1, kNoMemory = 2, kOwnKinds = 3;
constexpr std::chrono::milliseconds kAliveEvery{100};

void WriteAll(int descriptor, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t put = write(descriptor, data, size);
    if (put < 0 && errno != EINTR) {
      _exit(1);  // nobody listens any more
    }
    if (put > 0) {
      data += put;
      size -= static_cast<size_t>(put);
    }
  }
}

void SendRecord(int descriptor, char kind, std::string_view bytes) {
  std::string record(kRecordHeaderBytes, kind);
  StoreLittle(reinterpret_cast<uint8_t*>(record.data()) + 1, static_cast<uint32_t>(bytes.size()));
  record += bytes;
  WriteAll(descriptor, record.data(), record.size());
}

[[noreturn]] void Child(int descriptor, pid_t parent, const ChildWork& work) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(1);
  }
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT, SIGHUP,
                           SIGPIPE, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2}) {
    signal(number, SIG_DFL);
  }
  // What LMDB says before it gives up is in no log's format.
  if (const int null = open("/dev/null", O_WRONLY | O_CLOEXEC); null >= 0) {
    dup2(null, STDERR_FILENO);
  }
  try {
    ChildPipe pipe(descriptor);
    work(pipe);
    SendRecord(descriptor, kDone, {});
  } catch (const std::bad_alloc&) {
    SendRecord(descriptor, kNoMemory, {});
  } catch (const std::exception&) {
    _exit(1);
  }
  _exit(0);
}

// What has come through the pipe, taken apart.
class Incoming {
 public:
  explicit Incoming(const ChildReceiver& receive) : receive_(receive) {}

  void Add(std::string_view bytes) {
    bytes_ += bytes;
    size_t at = 0;
    while (bytes_.size() - at >= kRecordHeaderBytes) {
      const auto size =
          LoadLittle<uint32_t>(reinterpret_cast<const uint8_t*>(bytes_.data()) + at + 1);
      if (bytes_.size() - at - kRecordHeaderBytes < size) {
        break;
      }
      const char kind = bytes_[at];
      done_ |= kind == kDone;
      no_memory_ |= kind == kNoMemory;
      if (kind >= kOwnKinds) {
        receive_(static_cast<char>(kind - kOwnKinds),
                 std::string_view(bytes_).substr(at + kRecordHeaderBytes, size));
      }
      at += kRecordHeaderBytes + size;
    }
    bytes_.erase(0, at);
  }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] bool no_memory() const { return no_memory_; }

 private:
  const ChildReceiver& receive_;
  std::string bytes_;
  bool done_ = false;
  bool no_memory_ = false;
};

std::string HowItEnded(pid_t pid, bool* killed) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) {
      return "ended";  // somebody else's wait has had its status
    }
  }
  if (WIFSIGNALED(status)) {
    *killed = WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM;
    return "ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
           strsignal(WTERMSIG(status)) + ")";
  }
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

ChildEnd Follow(int descriptor, pid_t pid, Incoming& incoming, const ChildOptions& options) {
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  ChildEnd end;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const Clock::time_point now = Clock::now();
    auto wait =
        options.patience - std::chrono::duration_cast<std::chrono::milliseconds>(now - last);
    if (wait.count() <= 0) {
      end.kind = ChildEnd::Kind::kStuck;
      break;
    }
    if (options.at_most.count() > 0) {
      const auto rest =
          options.at_most - std::chrono::duration_cast<std::chrono::milliseconds>(now - start);
      if (rest.count() <= 0) {
        end.kind = ChildEnd::Kind::kTimeUp;
        break;
      }
      wait = std::min(wait, rest);
    }
    pollfd ready{descriptor, POLLIN, 0};
    const auto longest = std::chrono::milliseconds(1'000'000);
    if (poll(&ready, 1, static_cast<int>(std::min(wait, longest).count())) <= 0) {
      continue;
    }
    const ssize_t got = read(descriptor, buffer.data(), buffer.size());
    if (got > 0) {
      last = Clock::now();
      incoming.Add({buffer.data(), static_cast<size_t>(got)});
    } else if (got == 0) {
      end.kind = incoming.done() ? ChildEnd::Kind::kDone : ChildEnd::Kind::kDied;
      break;
    }
  }
  if (end.kind == ChildEnd::Kind::kStuck || end.kind == ChildEnd::Kind::kTimeUp) {
    kill(pid, SIGKILL);
  }
  bool killed = false;
  const std::string how = HowItEnded(pid, &killed);
  if (end.kind == ChildEnd::Kind::kDied && killed) {
    end.kind = ChildEnd::Kind::kKilled;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.patience);
  end.how = end.kind == ChildEnd::Kind::kStuck
                ? "gave no sign of life for " + std::to_string(seconds.count()) + " seconds"
            : end.kind == ChildEnd::Kind::kTimeUp ? "took too long"
                                                  : how;
  return end;
}

}  // namespace

void ChildPipe::Send(char kind, std::string_view bytes) {
  SendRecord(descriptor_, static_cast<char>(kind + kOwnKinds), bytes);
  last_ = Clock::now();
}

void ChildPipe::Alive() {
  const Clock::time_point now = Clock::now();
  if (now - last_ >= kAliveEvery) {
    last_ = now;
    SendRecord(descriptor_, kAlive, {});
  }
}

Result<ChildEnd> RunInChild(const ChildWork& work, const ChildReceiver& receive,
                            const ChildOptions& options) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Status::FromErrno("pipe() failed", errno);
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    Child(ends[1], parent, work);
  }
  const int error = errno;
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return Status::FromErrno("fork() failed", error);
  }
  Incoming incoming(receive);
  ChildEnd end = Follow(ends[0], pid, incoming, options);
  close(ends[0]);
  if (incoming.no_memory()) {
    return Status(Code::kUnavailable,
                  "a child process ran out of memory: raise vsz_limit of this service");
  }
  return end;
}

}  // namespace lbox

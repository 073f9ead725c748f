#include "plugin/migrate-run.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <list>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/migrate-progress.h"
#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

using hosting::Descriptor;

constexpr int kTickMilliseconds = 500;
constexpr int kLineEverySeconds = 60;

double Now() {
  struct timespec now {};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::string Encode(const Report& report) {
  std::vector<std::string> fields = {"report",
                                     std::to_string(static_cast<int>(report.result)),
                                     report.text,
                                     std::to_string(report.messages),
                                     std::to_string(report.bytes_before),
                                     std::to_string(report.bytes_after),
                                     std::to_string(report.seconds),
                                     std::to_string(report.closed_milliseconds)};
  fields.insert(fields.end(), report.differences.begin(), report.differences.end());
  return JoinFields(fields);
}

Report Decode(const std::vector<std::string>& fields) {
  Report report;
  report.result = static_cast<Report::Result>(ToNumber(fields[1]).value_or(0));
  report.text = fields[2];
  report.messages = ToNumber(fields[3]).value_or(0);
  report.bytes_before = ToNumber(fields[4]).value_or(0);
  report.bytes_after = ToNumber(fields[5]).value_or(0);
  report.seconds = ToNumber(fields[6]).value_or(0);
  report.closed_milliseconds = ToNumber(fields[7]).value_or(0);
  report.differences.assign(fields.begin() + 8, fields.end());
  return report;
}

void HandleSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) { RequestStop(); };  // without SA_RESTART: waits end
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    (void)sigaction(signal, &action, nullptr);
  }
}

// A user at work.
struct Worker {
  std::string user;
  pid_t pid = -1;
  Descriptor told;
  std::string buffer;
  Report report;
};

void SendLine(int to, const std::string& text) {
  const std::string line = text + "\n";
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t written = write(to, left.data(), left.size());
    if (written < 0 && errno != EINTR) {
      _exit(1);  // nobody is there any more
    }
    left.remove_prefix(written > 0 ? static_cast<size_t>(written) : 0);
  }
}

[[noreturn]] void Work(const Plan& plan, const std::string& user, int told, pid_t parent) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(1);
  }
  // A group of its own: ^C reaches it through its parent, once.
  (void)setpgid(0, 0);
  (void)signal(SIGPIPE, SIG_IGN);
  Report report;
  try {
    report = Move(plan, user, [&](const std::string& what) {
               SendLine(told, JoinFields({"doing", what}));
             }).Run();
  } catch (const std::exception& error) {
    report.text = error.what();
  }
  SendLine(told, Encode(report));
  _exit(0);
}

class Migration {
 public:
  Migration(const Options& options, const std::vector<std::string>& users,
            const std::function<void(const std::string&, const Report&)>& ended)
      : options_(options), users_(users), ended_(ended), progress_(users.size(), Now()) {}

  Totals Run() {
    HandleSignals();
    last_line_ = Now();
    while (!workers_.empty() || (next_ < users_.size() && !StopRequested())) {
      while (workers_.size() < options_.jobs && next_ < users_.size() && !StopRequested()) {
        Start(users_[next_++]);
      }
      if (StopRequested() && !told_to_stop_) {
        told_to_stop_ = true;
        for (const Worker& worker : workers_) {
          (void)kill(worker.pid, SIGTERM);
        }
      }
      Listen();
      Show();
    }
    if (options_.tty) {
      (void)fprintf(stderr, "\r\033[K");
    }
    return totals_;
  }

 private:
  void Start(const std::string& user) {
    std::array<int, 2> ends{-1, -1};
    Worker worker;
    worker.user = user;
    worker.report.text = "its process ended without a word: run it again";
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      return NotStarted(worker);
    }
    worker.told = Descriptor(ends[0]);
    const Descriptor theirs(ends[1]);
    const pid_t parent = getpid();
    worker.pid = fork();
    if (worker.pid == 0) {
      Work(options_.plan, user, theirs.get(), parent);
    }
    if (worker.pid < 0) {
      return NotStarted(worker);
    }
    progress_.Begin(user);
    workers_.push_back(std::move(worker));
  }

  void NotStarted(Worker& worker) {
    worker.report.text = Status::FromErrno("starting a process", errno).message();
    ++totals_.failed;
    ended_(worker.user, worker.report);
  }

  void Listen() {
    std::vector<struct pollfd> ready;
    for (const Worker& worker : workers_) {
      ready.push_back({worker.told.get(), POLLIN, 0});
    }
    if (poll(ready.data(), ready.size(), kTickMilliseconds) <= 0) {
      return;
    }
    size_t i = 0;
    for (auto worker = workers_.begin(); worker != workers_.end(); ++i) {
      if (ready[i].revents != 0 && !Read(*worker)) {
        End(*worker);
        worker = workers_.erase(worker);
      } else {
        ++worker;
      }
    }
  }

  // False at the end.
  bool Read(Worker& worker) {
    std::array<char, 8192> bytes{};
    const ssize_t got = read(worker.told.get(), bytes.data(), bytes.size());
    if (got <= 0) {
      return got < 0 && errno == EINTR;
    }
    worker.buffer.append(bytes.data(), static_cast<size_t>(got));
    for (size_t end = 0; (end = worker.buffer.find('\n')) != std::string::npos;) {
      const auto fields = SplitFields(std::string_view(worker.buffer).substr(0, end));
      worker.buffer.erase(0, end + 1);
      if (fields[0] == "report" && fields.size() >= 8) {
        worker.report = Decode(fields);
      } else if (fields[0] == "doing" && fields.size() == 2) {
        progress_.Tell(worker.user, fields[1]);
      }
    }
    return true;
  }

  void End(const Worker& worker) {
    while (waitpid(worker.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    const Report& report = worker.report;
    const bool done = report.result == Report::Result::kDone;
    const std::array<uint64_t*, 5> counts = {&totals_.done, &totals_.skipped, &totals_.would,
                                             &totals_.differs, &totals_.failed};
    ++*counts[static_cast<size_t>(report.result)];
    if (done) {
      totals_.messages += report.messages;
      totals_.bytes_before += report.bytes_before;
      totals_.bytes_after += report.bytes_after;
    }
    progress_.End(worker.user, done);
    if (options_.tty) {
      (void)fprintf(stderr, "\r\033[K");
    }
    ended_(worker.user, report);
  }

  void Show() {
    const double now = Now();
    if (options_.tty) {
      struct winsize size {};
      const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
      (void)fprintf(stderr, "\r%s\033[K",
                    progress_.Bar(now, known ? size.ws_col - 1U : 79).c_str());
      (void)fflush(stderr);
    } else if (now - last_line_ >= kLineEverySeconds) {
      last_line_ = now;
      (void)fprintf(stderr, "%s\n", progress_.Bar(now, 1000).c_str());
    }
  }

  const Options& options_;
  const std::vector<std::string>& users_;
  const std::function<void(const std::string&, const Report&)>& ended_;
  Progress progress_;
  Totals totals_;
  std::list<Worker> workers_;
  size_t next_ = 0;
  bool told_to_stop_ = false;
  double last_line_ = 0;
};

}  // namespace

Totals MoveAll(const Options& options, const std::vector<std::string>& users,
               const std::function<void(const std::string& user, const Report& report)>& ended) {
  return Migration(options, users, ended).Run();
}

}  // namespace lbox::migrate

// doveadm hosting policy apply: a changed policy counts for logins and sessions, now.
//
// Sessions notice a change by themselves and decide, since only they know how they came in
// (imap-hosting.c, hosting-session.h); this waits for those that the policy denies. Hibernated ones
// are woken for that by a change of nothing in the files that they watch, so that nobody else's are
// touched.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <tuple>

#include "plugin/doveadm-hosting-common.h"
#include "quota/descriptor.h"
#include "quota/protocol_policy.h"

extern "C" {
#include "master-service.h"
}

namespace {

using hosting::Code;
using hosting::Result;
using hosting::Status;
namespace wire = hosting::wire;

constexpr std::chrono::seconds kLimit{25};  // until denied sessions have ended
// Sessions look every 5 s: those that are there after all have looked, and none has just ended, are
// exempt.
constexpr std::chrono::seconds kAllHaveLooked{7};
constexpr std::chrono::seconds kQuiet{2};
constexpr std::chrono::milliseconds kPause{250};

struct Session {
  std::string user, service, pid, address;
  friend bool operator==(const Session&, const Session&) = default;
  friend bool operator<(const Session& a, const Session& b) {
    return std::tie(a.user, a.service, a.pid, a.address) <
           std::tie(b.user, b.service, b.pid, b.address);
  }
};

// What a doveadm command of the same configuration prints.
Result<std::string> run(std::vector<std::string> args) {
  args.insert(args.begin(), {"doveadm", "-c", master_service_get_config_path(master_service)});
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (std::string& arg : args) {
    argv.push_back(arg.data());
  }
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return Status::FromErrno("pipe2()", errno);
  }
  const hosting::Descriptor reading(ends[0]);
  hosting::Descriptor writing(ends[1]);
  const pid_t child = fork();
  if (child < 0) {
    return Status::FromErrno("fork()", errno);
  }
  if (child == 0) {
    dup2(writing.get(), STDOUT_FILENO);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  writing = hosting::Descriptor();
  std::string out;
  char buffer[4096];
  for (ssize_t got = 1; got > 0;) {
    got = read(reading.get(), buffer, sizeof buffer);
    out.append(buffer, got > 0 ? static_cast<size_t>(got) : 0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) {
    return Status(Code::kUnavailable, "doveadm " + args[3] + " failed");
  }
  return out;
}

Result<std::vector<Session>> open_sessions() {
  const auto who = run({"-f", "tab", "who", "-1"});
  if (!who.ok()) {
    return who.status();
  }
  std::vector<Session> sessions;
  std::istringstream lines(*who);
  std::string line;
  std::getline(lines, line);  // the columns' names
  while (std::getline(lines, line)) {
    std::istringstream columns(line);
    Session session;
    std::getline(columns, session.user, '\t');
    std::getline(columns, session.service, '\t');
    if (session.service == "imap-hibernate") {  // as Dovecot 2.4 calls them
      session.service = "imap";
    }
    std::getline(columns, session.pid, '\t');
    std::getline(columns, session.address, '\t');
    sessions.push_back(std::move(session));
  }
  return sessions;
}

Result<bool> is_denied(hosting::UsageAdmin& admin, const Session& session) {
  if (!hosting::ProtocolOfService(session.service)) {
    return false;
  }
  wire::Login login;
  login.set_user(session.user);
  login.set_service(session.service);
  login.set_address(session.address);
  login.set_quiet(true);
  const auto verdict = admin.CheckLogin(login, hosting::UsageAdmin::kAnswerLimit);
  return verdict.ok() ? Result<bool>(verdict->access() == wire::Verdict::DENY) : verdict.status();
}

std::string process_name(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

// inotify tells of a change, and nothing has changed: the first byte is allocated already.
void touch_file(const hosting::Descriptor& there) {
  const std::string same = "/proc/self/fd/" + std::to_string(there.get());
  const hosting::Descriptor file(open(same.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() >= 0) {
    (void)fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, 1);
  }
}

// A file comes and goes whose name no Maildir program takes for a message.
void touch_folder(const hosting::Descriptor& there) {
  constexpr char kName[] = ".hosting-wake";
  const hosting::Descriptor file(
      openat(there.get(), kName, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  (void)unlinkat(there.get(), kName, 0);
}

void touch(const std::string& path) {
  const hosting::Descriptor there(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat s {};
  if (there.get() < 0 || fstat(there.get(), &s) != 0) {
    return;
  }
  if (S_ISDIR(s.st_mode)) {
    touch_folder(there);
  } else if (S_ISREG(s.st_mode) && s.st_size != 0) {
    touch_file(there);
  }
}

// What Dovecot's storages watch: the index's log (lbox, sdbox, mdbox), Maildir's folders, an mbox.
void touch_mailbox(const std::string& index, const std::string& mail) {
  touch(index + "/dovecot.index.log");
  struct stat s {};
  if (stat(mail.c_str(), &s) == 0 && S_ISREG(s.st_mode)) {
    touch(mail);
    return;
  }
  touch(mail + "/new");
}

Status wake(const std::string& user) {
  const auto names = run({"mailbox", "list", "-u", user});
  if (!names.ok()) {
    return names.status();
  }
  std::istringstream lines(*names);
  for (std::string name; std::getline(lines, name);) {
    // A name that is only above others has no folder of its own.
    const auto path = [&](const char* type) {
      const auto printed = run({"mailbox", "path", "-u", user, "-t", type, name});
      return printed.ok() ? printed->substr(0, printed->find('\n')) : "";
    };
    if (const std::string index = path("index"); !index.empty()) {
      touch_mailbox(index, path("mailbox"));
    }
  }
  return {};
}

class Apply {
 public:
  explicit Apply(hosting::UsageAdmin& admin) : admin_(admin) {}

  Status Run() {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + kLimit;
    auto quiet = Clock::now() + kAllHaveLooked;
    for (;;) {
      const std::set<Session> before = left_;
      if (Status status = Look(); !status.ok()) {
        return status;
      }
      if (left_ != before) {
        quiet = std::max(quiet, Clock::now() + kQuiet);
      }
      if (left_.empty() || Clock::now() > std::min(quiet, deadline)) {
        break;
      }
      std::this_thread::sleep_for(kPause);
    }
    Print();
    return {};
  }

 private:
  // Finds denied sessions and wakes those that sleep, each user's once.
  Status Look() {
    const auto sessions = open_sessions();
    if (!sessions.ok()) {
      return sessions.status();
    }
    left_.clear();
    for (const Session& session : *sessions) {
      const auto denied = is_denied(admin_, session);
      if (!denied.ok()) {
        return denied.status();
      }
      if (*denied) {
        left_.insert(session);
        seen_.insert(session);
      }
    }
    for (const Session& session : left_) {
      if (process_name(session.pid) == "imap-hibernate" && woken_.insert(session.user).second) {
        if (Status status = wake(session.user); !status.ok()) {
          return status;
        }
      }
    }
    return {};
  }

  void Print() const {
    for (const Session& session : seen_) {
      doveadm_hosting_print(session.user);
      doveadm_hosting_print(session.service);
      doveadm_hosting_print(session.address);
      // An exempt session is told nothing, and stays.
      doveadm_hosting_print(left_.count(session) == 0 ? "ended" : "open");
    }
  }

  hosting::UsageAdmin& admin_;
  std::set<Session> left_, seen_;
  std::set<std::string> woken_;
};

}  // namespace

void cmd_hosting_policy_apply(struct doveadm_cmd_context*) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  for (const char* name : {"user", "service", "address", "session"}) {
    doveadm_hosting_text_column(name);
  }
  doveadm_hosting_ask([](hosting::UsageAdmin& admin) {
    wire::Admin reload;
    reload.mutable_reload();
    if (const auto result = admin.Call(reload); !result.ok()) {
      return result.status();
    }
    if (const auto flushed = run({"auth", "cache", "flush"}); !flushed.ok()) {
      return flushed.status();
    }
    return Apply(admin).Run();
  });
}

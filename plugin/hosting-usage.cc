// hosting-usage: the usage service as a service of Dovecot's (docs/ledger.md).
//
// Purpose: UsageServer, run by Dovecot's event loop, with connections accepted by its listeners and
// the policy read from the file. Processes: one (process_limit = 1), unprivileged: the state folder
// is made, if need be, before root is given up. Failure modes: exits with a line in the log when
// ledger or folder cannot be had; a policy that cannot be read leaves the last good one in force.
// Crash rule: UsageServer's.
//
//   hosting-usage [--policy FILE] [--state-dir DIR] [--recount-socket PATH] [--warn-socket PATH]
//     [--policy-owner UID] [--trial-clock FILE]
//
// With --trial-clock the time is that of the system and as many seconds more as FILE says, which is
// read before each tick, of which there are twenty a second. For trials and tests.
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// Before netdb.h, which makes TRY_AGAIN a macro.
#include "quota/boot_clock.h"
#include "quota/growth_text.h"
#include "quota/policy_source.h"
#include "quota/usage_server.h"

#include "plugin/dovecot.h"
#include "plugin/hosting-abi.h"
#include "plugin/hosting-defaults.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-privileges.h"
#include "plugin/hosting-service.h"

extern "C" {
#include "lib-signals.h"
#include "master-service.h"
#include "restrict-access.h"
}

namespace {

constexpr char kStateFolder[] = "/var/lib/dovecot/hosting";
constexpr unsigned kTickMs = 1000, kTrialTickMs = 50;
constexpr int kOpenTries = 100;  // of 100 ms: while the process before this one ends

struct Arguments {
  std::string policy = HOSTING_DEFAULT_POLICY_FILE;
  std::string state_folder = kStateFolder;
  std::string recount_socket, warn_socket;
  uint32_t policy_owner = 0;
  std::string trial_clock;  // empty: none
};

// Seconds that the trial clock is ahead.
int64_t ahead = 0;

void read_trial_clock(const std::string& path) {
  std::ifstream file(path);
  int64_t seconds = 0;
  if (file >> seconds) {
    ahead = seconds;
  }
}

struct Program {
  std::unique_ptr<hosting::PolicySource> source;
  std::unique_ptr<hosting::UsageServer> server;
  struct io* io = nullptr;
  struct timeout* tick = nullptr;
  std::string trial_clock;
};

Program* program = nullptr;

struct event_category hosting_event_category = {
    .name = "hosting",
};

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

void log_line(hosting::LogLevel level, const std::string& text) {
  switch (level) {
    case hosting::LogLevel::kError:
      i_error("%s", text.c_str());
      break;
    case hosting::LogLevel::kWarning:
      i_warning("%s", text.c_str());
      break;
    case hosting::LogLevel::kInfo:
      i_info("%s", text.c_str());
      break;
  }
}

// A growth warning, as event and log line.
void announce(const hosting::GrowthOutbox::Announcement& announcement) {
  struct event* event = event_create(nullptr);
  event_add_category(event, &hosting_event_category);
  struct event_passthrough* e = event_create_passthrough(event);
  if (announcement.event) {
    e->set_name("hosting_growth_warning");
    for (const auto& [name, value] : hosting::GrowthFields(announcement.warning)) {
      if (value.empty() || name == "account") {
        continue;  // metrics are not to grow with the customers
      }
      const bool number = name != "package" && value.size() < 19 &&
                          value.find_first_not_of("0123456789") == std::string::npos;
      if (number) {
        e->add_int(name.c_str(), std::stoll(value));
      } else {
        e->add_str(name.c_str(), value.c_str());
      }
    }
  }
  const std::string line = hosting::WriteGrowthLog(announcement.warning);
  if (announcement.log) {
    e_info(e->event(), "%s", line.c_str());
  } else {
    e_debug(e->event(), "%s", line.c_str());
  }
  event_unref(&event);
}

Arguments parse_arguments(int argc, char** argv) {
  Arguments arguments;
  std::string owner;
  const std::map<std::string, std::string*> known = {
      {"--policy", &arguments.policy},
      {"--state-dir", &arguments.state_folder},
      {"--recount-socket", &arguments.recount_socket},
      {"--warn-socket", &arguments.warn_socket},
      {"--policy-owner", &owner},
      {"--trial-clock", &arguments.trial_clock},
  };
  for (int i = 1; i < argc; i += 2) {
    const auto at = known.find(argv[i]);
    if (at == known.end() || i + 1 == argc) {
      i_fatal(
          "hosting-usage [--policy FILE] [--state-dir DIR] [--recount-socket PATH] "
          "[--warn-socket PATH] [--policy-owner UID] [--trial-clock FILE]: \"%s\" is not among "
          "these, or lacks its "
          "value",
          argv[i]);
    }
    *at->second = argv[i + 1];
  }
  if (!owner.empty()) {
    arguments.policy_owner = static_cast<uint32_t>(std::stoul(owner));
  }
  return arguments;
}

// While still root: the folder, for the uid that the service's settings name. Others may pass
// through it, to the spool.
void make_state_folder(const std::string& path) {
  struct restrict_access_settings access;
  restrict_access_get_env(&access);
  if (geteuid() != 0 || mkdir(path.c_str(), 0751) != 0) {
    return;  // it is there, or what is missing is said when it is used
  }
  if (lchown(path.c_str(), access.uid, access.gid) != 0 || chmod(path.c_str(), 0751) != 0) {
    i_fatal("chown(%s) failed: %m", path.c_str());
  }
}

// As many connections as the service's client_limit lets in.
void raise_descriptor_limit() {
  struct rlimit limit {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Logs what a look at the policy file gave. What to tell whoever asked for it.
std::string tell(const hosting::PolicySource::Outcome& outcome) {
  std::string text;
  for (const std::string& line : outcome.errors) {
    i_error("%s", line.c_str());
    text += line + "\n";
  }
  for (const std::string& line : outcome.warnings) {
    i_warning("%s", line.c_str());
    text += line + "\n";
  }
  if (!outcome.ok()) {
    const char* kept = outcome.from == hosting::PolicySource::From::kNothing
                           ? "there is no policy: nothing is limited"
                           : "the last good policy stays in force";
    i_error("%s", kept);
    text += std::string(kept) + "\n";
  }
  return text;
}

hosting::UsageServer::PolicyFeed make_feed(hosting::PolicySource& source) {
  return
      [&source, loaded = false](
          bool always, std::string* text) mutable -> std::shared_ptr<const hosting::LoadedPolicy> {
        if (!always && !source.Changed()) {
          return nullptr;
        }
        const auto outcome = std::exchange(loaded, true) ? source.Reload() : source.Load();
        const std::string told = tell(outcome);
        if (text != nullptr) {
          *text = told.empty() ? (outcome.changed ? "the policy was read, and has changed\n"
                                                  : "the policy was read, and is as it was\n")
                               : told;
        }
        return source.current();
      };
}

extern "C" void hosting_usage_poll(Program* running) noexcept {
  hosting_guard_or_exit([running] { running->server->Poll(); });
}

extern "C" void hosting_usage_tick(Program* running) noexcept {
  hosting_guard_or_exit([running] {
    if (!running->trial_clock.empty()) {
      read_trial_clock(running->trial_clock);
    }
    running->server->Tick();
  });
}

extern "C" void hosting_usage_connected(struct master_service_connection* conn) noexcept {
  hosting_guard_or_exit([conn] {
    master_service_client_connection_accept(conn);
    program->server->Adopt(hosting::Descriptor(conn->fd));
  });
}

extern "C" void hosting_usage_reload(const siginfo_t*, void*) noexcept {
  hosting_guard_or_exit([] { (void)program->server->Reload(); });
}

std::unique_ptr<hosting::UsageServer> start(const Arguments& arguments,
                                            hosting::PolicySource& source) {
  for (int i = 0;; ++i) {
    hosting::UsageServer::Options options;
    options.state_folder = arguments.state_folder;
    options.recount_socket = arguments.recount_socket;
    options.warn_socket = arguments.warn_socket;
    options.announce = announce;
    options.policy = make_feed(source);
    options.clock = {[] { return static_cast<int64_t>(time(nullptr)) + ahead; }, hosting::BootMs};
    options.clock.passed_ms = [] { return hosting::BootMs() + ahead * 1000; };
    options.boot_id = boot_id();
    options.log = log_line;
    options.adopted_closed = [] { master_service_client_connection_destroyed(master_service); };
    auto server = hosting::UsageServer::Start(std::move(options));
    if (server.ok()) {
      return std::move(*server);
    }
    if (server.status().code() != lbox::Code::kBusy || i == kOpenTries) {
      i_fatal("%s", server.status().message().c_str());
    }
    usleep(100000);
  }
}

void run(const Arguments& arguments) {
  Program running;
  hosting::PolicySource::Options options;
  options.file = arguments.policy;
  options.snapshot_path = arguments.state_folder + "/policy.snapshot";
  options.login_table = arguments.state_folder + "/policy.logins";
  options.rules.owner = arguments.policy_owner;
  if (arguments.policy_owner != 0) {
    // Of a trial or a test, whose folders anyone may have made.
    options.rules.trusted_folder = arguments.policy.substr(0, arguments.policy.rfind('/'));
  }
  running.source = std::make_unique<hosting::PolicySource>(std::move(options));
  running.trial_clock = arguments.trial_clock;
  read_trial_clock(arguments.trial_clock);
  running.server = start(arguments, *running.source);
  program = &running;
  running.io = io_add(running.server->fd(), IO_READ, hosting_usage_poll, &running);
  running.tick = timeout_add(arguments.trial_clock.empty() ? kTickMs : kTrialTickMs,
                             hosting_usage_tick, &running);
  lib_signals_set_handler(SIGHUP, static_cast<enum libsig_flags>(LIBSIG_FLAGS_SAFE),
                          hosting_usage_reload, nullptr);
  master_service_init_finish(master_service);

  master_service_run(master_service, hosting_usage_connected);

  lib_signals_unset_handler(SIGHUP, hosting_usage_reload, nullptr);
  timeout_remove(&running.tick);
  io_remove(&running.io);
  if (const lbox::Status status = running.server->Stop(); !status.ok()) {
    i_error("%s", status.message().c_str());
  }
}

}  // namespace

int main(int argc, char* argv[]) {
  hosting_abi_check("hosting-usage");
  hosting_service_init("hosting-usage", argv[0], true);
  hosting_guard_or_exit([&] {
    const Arguments arguments = parse_arguments(argc, argv);
    make_state_folder(arguments.state_folder);
    raise_descriptor_limit();
    restrict_access_by_env(static_cast<enum restrict_access_flags>(0), nullptr);
    restrict_access_allow_coredumps(TRUE);
    if (hosting_keep_capabilities(nullptr, 0) != 0) {
      i_fatal("giving up privileges failed: %m");
    }
    run(arguments);
  });
  master_service_deinit(&master_service);
  return 0;
}

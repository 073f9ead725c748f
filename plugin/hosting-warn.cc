// hosting-warn: a service of Dovecot's that delivers growth warnings for hosting-usage
// (docs/growth.md, "How customers are told").
//
// Purpose: takes jobs (usage.proto, WarnJob in frames) one at a time from the one connection that
// each of its processes has (client_limit = 1): mail into mailboxes as the user, other mail through
// sendmail, and the operator's script. Processes: started by Dovecot's master as root; users are
// looked up and their uid is taken before mail is touched, sendmail and script run as --user. Which
// programs these are is said on its command line alone: a service that was taken over cannot choose
// them. Failure modes: a job that cannot be done is answered so; hosting-usage tries again. Crash
// rule: a job is answered after it was done; hosting-usage knows what was under way.
//
//   hosting-warn [--user NAME] [--sendmail PATH] [--script PATH] [--script-timeout SECONDS]
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/file.h>
#include <unistd.h>

#include "quota/frame.h"
#include "quota/growth_job.h"
#include "quota/run_program.h"

#include "plugin/dovecot.h"

extern "C" {
#include "hostpid.h"
#include "mail-storage-service.h"
#include "master-service.h"
#include "restrict-access.h"
#include "plugin/hosting-recount-series.h"
}

#include "plugin/hosting-abi.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-warn.h"

#undef TRY_AGAIN  // of netdb.h

namespace {

constexpr char kService[] = "hosting-warn";
constexpr std::chrono::seconds kSendmailLimit{60};
constexpr char kLockFile[] = "hosting-warn.lock";  // in base_dir, where services run

namespace wire = hosting::wire;
using Outcome = wire::WarnDone::Outcome;

struct Arguments {
  std::string user = "nobody", sendmail = "/usr/sbin/sendmail", script;
  std::chrono::seconds script_limit{30};
  hosting::ProgramUser runs_as;
};

struct Client {
  explicit Client(hosting::Descriptor socket) : stream(std::move(socket), false) {}
  hosting::FrameStream stream;
  struct io* io = nullptr;
};

Arguments arguments;
struct mail_storage_service_ctx* storage_service = nullptr;
std::unique_ptr<Client> client;

struct Answer {
  Outcome outcome = wire::WarnDone::TRY_AGAIN;
  std::string text;
};

// Into the mailbox of a user here.
Answer deliver(const std::string& name, const std::string& job) {
  struct mail_user* user = nullptr;
  const char* text = "";
  const int found =
      hosting_recount_series_user(storage_service, kService, name.c_str(), &user, &text);
  if (found <= 0) {
    return {found == 0 ? wire::WarnDone::NOBODY : wire::WarnDone::TRY_AGAIN,
            found == 0 ? "no such user" : text};
  }
  Answer answer;
  void* const symbol = dlsym(RTLD_DEFAULT, HOSTING_WARN_SYMBOL);
  if (symbol == nullptr) {
    answer.text = "the plugin hosting is not loaded: it has to be in mail_plugins";
  } else {
    auto* const warn = reinterpret_cast<hosting_warn_func_t*>(symbol);
    const int ret = warn(user, job.data(), job.size(), &text);
    answer = {ret > 0    ? wire::WarnDone::DONE
              : ret == 0 ? wire::WarnDone::NOBODY
                         : wire::WarnDone::TRY_AGAIN,
              text};
  }
  hosting_recount_series_user_free(&user);
  return answer;
}

// To an address elsewhere, from the null sender. sendmail takes the message as a whole or not at
// all, so any exit code but 0 means that nothing was sent; one that was killed may have sent it.
Answer send_away(const wire::WarnJob& job) {
  const hosting::GrowthMail mail = hosting::MailOf(job, my_hostname, {});
  hosting::ProgramRun run;
  run.arguments = {arguments.sendmail, "-i", "-f", "<>", "--", mail.to};
  run.environment = {"PATH=/usr/sbin:/usr/bin:/bin", "LC_ALL=C"};
  run.user = arguments.runs_as;
  run.limit = kSendmailLimit;
  for (const char c : hosting::WriteGrowthMail(mail)) {
    if (c != '\r') {  // sendmail reads lines as the system has them
      run.input += c;
    }
  }
  const auto outcome = hosting::RunProgram(run);
  if (outcome.ok()) {
    return {wire::WarnDone::DONE, "passed to sendmail"};
  }
  const bool sure = !outcome.started || (!outcome.timed_out && outcome.signal == 0);
  return {sure ? wire::WarnDone::TRY_AGAIN : wire::WarnDone::FAILED,
          arguments.sendmail + ": " + hosting::Describe(outcome)};
}

Answer send_mail(const wire::WarnJob& job, const std::string& bytes) {
  if (job.task().mailbox()) {
    Answer answer = deliver(job.task().recipient(), bytes);
    // The contact's address may be an alias, which only the mail server knows; but not once more
    // when it may have been sent before.
    if (answer.outcome != wire::WarnDone::NOBODY || !job.task().contact()) {
      return answer;
    }
    if (job.task().begun()) {
      return {wire::WarnDone::FAILED, "it may have been sent before; it is not repeated"};
    }
  }
  return send_away(job);
}

// Once, whatever its exit code is: it says how the script went, not that it is to run again.
Answer run_script(const wire::WarnJob& job) {
  if (arguments.script.empty()) {
    return {wire::WarnDone::DONE, "there is none"};
  }
  hosting::ProgramRun run;
  run.arguments = hosting::ScriptArguments(job, arguments.script);
  run.environment = hosting::ScriptEnvironment(job);
  run.user = arguments.runs_as;
  run.limit = arguments.script_limit;
  const auto outcome = hosting::RunProgram(run);
  return {outcome.ok()       ? wire::WarnDone::DONE
          : !outcome.started ? wire::WarnDone::TRY_AGAIN
                             : wire::WarnDone::FAILED,
          arguments.script + ": " + hosting::Describe(outcome)};
}

Answer handle(const wire::WarnJob& job, const std::string& bytes) {
  switch (job.task().way()) {
    case wire::WarnTask::MAIL:
      return send_mail(job, bytes);
    case wire::WarnTask::SCRIPT:
      return run_script(job);
    default:
      return {wire::WarnDone::FAILED, "a way that hosting-warn does not know"};
  }
}

// One delivery of mail at a time, whichever process has it: while hosting-usage is killed and comes
// back, one that it has forgotten may still be at work.
class DeliveryLock {
 public:
  // As root, also after another user's mail.
  DeliveryLock() : root_(seteuid(0)), file_(open(kLockFile, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (file_.valid() && flock(file_.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  [[nodiscard]] bool held() const { return root_ == 0 && file_.valid(); }

 private:
  int root_;
  hosting::Descriptor file_;
};

// Whether hosting-usage still waits for the answer.
bool is_wanted() {
  struct pollfd peer = {client->stream.fd(), POLLRDHUP, 0};
  return poll(&peer, 1, 0) == 0;
}

void hang_up() {
  io_remove(&client->io);
  client.reset();
  master_service_client_connection_destroyed(master_service);
}

void serve() {
  const auto open = client->stream.Receive();
  while (client->stream.ready()) {
    const auto message = client->stream.Next();
    wire::WarnJob job;
    if (!message.ok() ||
        !job.ParseFromArray((*message)->data(), static_cast<int>((*message)->size()))) {
      i_error("hosting-usage sends what cannot be read");
      return hang_up();
    }
    const std::string bytes(**message);
    const std::unique_ptr<DeliveryLock> lock =
        job.task().way() == wire::WarnTask::MAIL ? std::make_unique<DeliveryLock>() : nullptr;
    if (!is_wanted()) {
      return hang_up();  // another process has the job by now, or will
    }
    const Answer answer = lock == nullptr || lock->held()
                              ? handle(job, bytes)
                              : Answer{wire::WarnDone::TRY_AGAIN, "no lock"};
    wire::WarnDone done;
    done.set_id(job.id());
    done.set_outcome(answer.outcome);
    done.set_text(answer.text);
    // An answer fits the socket's buffer.
    if (!client->stream.Queue(done.SerializeAsString()).ok() || !client->stream.Flush().ok()) {
      return hang_up();
    }
  }
  if (!open.ok() || !*open) {
    hang_up();
  }
}

extern "C" void hosting_warn_input(void*) noexcept {
  hosting_guard_or_exit([] {
    T_BEGIN {
      serve();
    }
    T_END;
  });
}

extern "C" void hosting_warn_connected(struct master_service_connection* conn) noexcept {
  hosting_guard_or_exit([conn] {
    master_service_client_connection_accept(conn);
    const int flags = fcntl(conn->fd, F_GETFL);
    (void)fcntl(conn->fd, F_SETFL, flags | O_NONBLOCK);
    client = std::make_unique<Client>(hosting::Descriptor(conn->fd));
    client->io = io_add(conn->fd, IO_READ, hosting_warn_input, static_cast<void*>(nullptr));
  });
}

void parse_arguments(int argc, char** argv) {
  std::string limit;
  const std::map<std::string, std::string*> known = {
      {"--user", &arguments.user},
      {"--sendmail", &arguments.sendmail},
      {"--script", &arguments.script},
      {"--script-timeout", &limit},
  };
  for (int i = 1; i < argc; i += 2) {
    const auto at = known.find(argv[i]);
    if (at == known.end() || i + 1 == argc) {
      i_fatal(
          "hosting-warn [--user NAME] [--sendmail PATH] [--script PATH] [--script-timeout "
          "SECONDS]: \"%s\" is not among these, or lacks its value",
          argv[i]);
    }
    *at->second = argv[i + 1];
  }
  if (!limit.empty()) {
    arguments.script_limit = std::chrono::seconds(std::stoul(limit));
  }
  const struct passwd* const user = getpwnam(arguments.user.c_str());
  if (user == nullptr || user->pw_uid == 0) {
    i_fatal("hosting-warn: --user %s: expected a system user that is not root",
            arguments.user.c_str());
  }
  arguments.runs_as = {user->pw_uid, user->pw_gid};
}

}  // namespace

int main(int argc, char* argv[]) {
  hosting_abi_check("hosting-warn");
  // Dovecot's own arguments are for programs that have them.
  int own_argc = 1;
  char* own_argv[] = {argv[0], nullptr};
  char** rest = own_argv;
  master_service = master_service_init(
      kService, static_cast<enum master_service_flags>(hosting_recount_service_flags), &own_argc,
      &rest, "");
  hosting_guard_or_exit([&] { parse_arguments(argc, argv); });
  hosting_recount_series_preinit(kService);
  restrict_access_by_env(RESTRICT_ACCESS_FLAG_ALLOW_ROOT, nullptr);
  master_service_init_log_with_pid(master_service);
  storage_service = hosting_recount_series_init(
      MAIL_STORAGE_SERVICE_FLAG_USERDB_LOOKUP | MAIL_STORAGE_SERVICE_FLAG_TEMP_PRIV_DROP |
      MAIL_STORAGE_SERVICE_FLAG_NO_CHDIR | MAIL_STORAGE_SERVICE_FLAG_NO_IDLE_TIMEOUT);
  restrict_access_allow_coredumps(TRUE);
  master_service_init_finish(master_service);
  master_service_run(master_service, hosting_warn_connected);

  if (client) {
    hang_up();
  }
  mail_storage_service_deinit(&storage_service);
  master_service_deinit(&master_service);
  return 0;
}

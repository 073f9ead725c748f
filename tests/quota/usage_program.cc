// hosting-usage without Dovecot, for tests that kill it:
//   usage_program STATE_FOLDER SOCKET RECOUNT_SOCKET|- BOOT_ID ACCOUNTS
// with tests/quota/usage_policy.h's policy, in which the caller's uid is trusted with all mail.
// Logs to standard error; SIGTERM ends it as it should.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "quota/boot_clock.h"
#include "quota/usage_server.h"
#include "tests/quota/usage_policy.h"

namespace hosting {
namespace {

volatile std::sig_atomic_t stop = 0;

Descriptor ListenAt(const std::string& path) {
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  unlink(path.c_str());
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(socket.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0666) != 0 || listen(socket.get(), 511) != 0) {
    perror(path.c_str());
    exit(1);
  }
  return socket;
}

int Run(char** argv) {
  Policy policy = TestPolicy(atoi(argv[5]));
  policy.service.mail_uids.push_back(getuid());
  const auto loaded = Loaded(policy);
  UsageServer::Options options;
  options.state_folder = argv[1];
  options.recount_socket = std::string(argv[3]) == "-" ? "" : argv[3];
  options.boot_id = argv[4];
  options.policy = [loaded](bool always, std::string*) { return always ? loaded : nullptr; };
  constexpr int64_t kReturn = 3;  // seconds, in place of 30
  options.clock = {[] { return static_cast<int64_t>(time(nullptr)); }, BootMs, kReturn};
  options.log = [](LogLevel, const std::string& text) { fprintf(stderr, "%s\n", text.c_str()); };
  auto server = UsageServer::Start(std::move(options));
  if (!server.ok()) {
    fprintf(stderr, "%s\n", server.status().message().c_str());
    return 1;
  }
  if (const Status status = (*server)->Listen(ListenAt(argv[2])); !status.ok()) {
    fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  int64_t ticked = 0;
  while (stop == 0) {
    struct pollfd ready {
      (*server)->fd(), POLLIN, 0
    };
    const int64_t left = std::clamp<int64_t>(ticked + 1000 - BootMs(), 0, 1000);
    if (poll(&ready, 1, static_cast<int>(left)) > 0) {
      (*server)->Poll();
    }
    if (BootMs() - ticked >= 1000) {
      ticked = BootMs();
      (*server)->Tick();
    }
  }
  return (*server)->Stop().ok() ? 0 : 1;
}

}  // namespace
}  // namespace hosting

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "usage_program STATE_FOLDER SOCKET RECOUNT_SOCKET|- BOOT_ID ACCOUNTS\n");
    return 64;
  }
  return hosting::Run(argv);
}

// hosting-webmeter: walks the accounts' web roots for hosting-usage (docs/web.md).
//
// Purpose: WebMeter in a process of its own, with the privilege to read any directory and no other.
// Processes: started as root by Dovecot's master (one process, kept running), or by a unit of its
// own; gives up its privileges before it reads anything. One thread; Dovecot's event loop. Failure
// modes: exits with a line in the log when it cannot get those privileges; else see WebMeter.
#include <ctime>
#include <string>
#include <vector>

#include "plugin/dovecot.h"
#include "plugin/hosting-abi.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-service.h"
#include "quota/web_meter.h"
#include "quota/web_options.h"
#include "quota/web_policy.h"
#include "quota/web_privileges.h"

extern "C" {
#include "master-service.h"
}

namespace {

struct Program {
  hosting::WebMeter meter;
  struct io* io = nullptr;
  struct timeout* timeout = nullptr;
};

extern "C" void hosting_webmeter_go_on(Program* program) noexcept {
  timeout_remove(&program->timeout);
  std::chrono::milliseconds pause{0};
  hosting_guard_or_exit([&] {
    pause = program->meter.Poll({std::chrono::steady_clock::now(), time(nullptr)});
  });
  program->timeout =
      timeout_add_short(static_cast<unsigned>(pause.count()), hosting_webmeter_go_on, program);
}

// Nothing is asked of the meter: it asks. Dovecot closes a connection that is not accepted.
extern "C" void hosting_webmeter_connected(struct master_service_connection*) noexcept {}

void Say(bool good, const std::string& line) {
  if (good) {
    i_info("%s", line.c_str());
  } else {
    i_warning("%s", line.c_str());
  }
}

hosting::WebOptions Options(int argc, char** argv) {
  auto options = hosting::ParseWebOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (!options.ok()) {
    i_fatal("%s", options.status().message().c_str());
  }
  return *options;
}

void Run(const hosting::WebOptions& options) {
  hosting::WebPolicy policy(options.snapshot, [](const std::string& line) { Say(false, line); });
  hosting::WebMeterOptions meter;
  meter.socket_path = options.socket;
  meter.policy = [&] { return policy.Get(); };
  meter.log = Say;
  meter.entries_a_second = options.entries_a_second;
  meter.bounds = options.bounds;
  Program program{hosting::WebMeter(std::move(meter))};
  program.io = io_add(program.meter.fd(), IO_READ, hosting_webmeter_go_on, &program);
  program.timeout = timeout_add_short(0, hosting_webmeter_go_on, &program);
  master_service_run(master_service, hosting_webmeter_connected);
  io_remove(&program.io);
  timeout_remove(&program.timeout);
}

}  // namespace

int main(int argc, char* argv[]) {
  hosting_abi_check("hosting-webmeter");
  hosting_service_init("hosting-webmeter", argv[0], false);
  hosting_guard_or_exit([&] {
    const hosting::WebOptions options = Options(argc, argv);
    const lbox::Status ready = hosting::KeepReadingOnly(options.uid, options.gid);
    if (!ready.ok()) {
      i_fatal("%s", ready.message().c_str());
    }
    hosting::RunInBackground();
    master_service_init_finish(master_service);
    Run(options);
  });
  master_service_deinit(&master_service);
  return 0;
}

// doveadm lbox migrate: options, users, and the report. What is done is in migrate-run.h.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// Before Dovecot's headers, which define common words as macros.
#include "plugin/migrate-run.h"
#include "plugin/migrate-text.h"

#include "plugin/dovecot.h"

extern "C" {
#include "master-service.h"
#include "doveadm.h"
#include "doveadm-print.h"
#include "plugin/doveadm-lbox.h"
}

namespace {

using lbox::Code;
using lbox::Result;
using lbox::Status;
namespace migrate = lbox::migrate;

constexpr char kFolder[] = "/var/lib/lbox/migrate";
constexpr int64_t kMinTempfail = 3;
constexpr int64_t kMaxJobs = 64;
constexpr double kMegabyte = 1e6;

std::string text_param(struct doveadm_cmd_context* cctx, const char* name, const char* fallback) {
  const char* value = nullptr;
  return doveadm_cmd_param_str(cctx, name, &value) && value != nullptr ? value : fallback;
}

bool flag_param(struct doveadm_cmd_context* cctx, const char* name) {
  bool value = false;
  return doveadm_cmd_param_bool(cctx, name, &value) && value;
}

Result<int64_t> number_param(struct doveadm_cmd_context* cctx, const char* name, int64_t fallback,
                             int64_t least, int64_t most) {
  const std::string text = text_param(cctx, name, "");
  if (text.empty()) {
    return fallback;
  }
  const auto number = migrate::ToNumber(text);
  if (!number || static_cast<int64_t>(*number) < least || static_cast<int64_t>(*number) > most) {
    return Status(Code::kInvalid, std::string("--") + name + " takes a number from " +
                                      std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<int64_t>(*number);
}

Result<uint64_t> io_param(struct doveadm_cmd_context* cctx, int64_t jobs) {
  const std::string text = text_param(cctx, "io-limit", "");
  if (text.empty()) {
    return uint64_t{0};
  }
  char* end = nullptr;
  const double limit = strtod(text.c_str(), &end);
  if (*end != '\0' || !(limit > 0) || limit > kMegabyte) {
    return Status(Code::kInvalid, "--io-limit takes megabytes a second");
  }
  return std::max<uint64_t>(1,
                            static_cast<uint64_t>(limit * kMegabyte / static_cast<double>(jobs)));
}

std::string own_program() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : "doveadm";
}

Status make_folder(const std::string& folder) {
  for (size_t end = 1; end != std::string::npos;) {
    end = folder.find('/', end);
    const std::string path = folder.substr(0, end);
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      return Status::FromErrno("creating " + path, errno);
    }
    end += end == std::string::npos ? 0 : 1;
  }
  struct stat st;
  if (stat(folder.c_str(), &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
    return Status(Code::kPermission, folder + " has to belong to root alone");
  }
  return {};
}

Result<migrate::Options> read_options(struct doveadm_cmd_context* cctx) {
  migrate::Options options;
  migrate::Plan& plan = options.plan;
  auto from = migrate::Place::Parse(text_param(cctx, "from", ""));
  auto to = migrate::Place::Parse(text_param(cctx, "to", "lbox:~/lbox"));
  for (const auto* place : {&from, &to}) {
    if (!place->ok()) {
      return place->status();
    }
  }
  const bool back = flag_param(cctx, "back");
  plan.source = back ? to.value() : from.value();
  plan.target = back ? from.value() : to.value();
  const auto tempfail =
      number_param(cctx, "tempfail", 30, kMinTempfail, migrate::kMaxClosedSeconds);
  const auto jobs = number_param(cctx, "jobs", 2, 1, kMaxJobs);
  if (!tempfail.ok() || !jobs.ok()) {
    return (tempfail.ok() ? jobs : tempfail).status();
  }
  const auto limit = io_param(cctx, jobs.value());
  if (!limit.ok()) {
    return limit.status();
  }
  plan.tempfail = std::chrono::seconds(tempfail.value());
  plan.dry_run = flag_param(cctx, "dry-run");
  plan.folder = text_param(cctx, "state", kFolder);
  plan.tools.doveadm = own_program();
  plan.tools.config = master_service_get_config_path(master_service);
  plan.tools.by_driver = doveadm_lbox_driver_is_setting();
  plan.tools.hook = text_param(cctx, "hook", "");
  plan.tools.io_limit = limit.value();
  options.jobs = static_cast<unsigned>(jobs.value());
  options.tty = isatty(STDERR_FILENO) == 1;
  if (!plan.dry_run && access(plan.tools.hook.c_str(), X_OK) != 0) {
    return Status(Code::kInvalid, "--hook has to name a program that changes the userdb");
  }
  return options;
}

Result<std::vector<std::string>> read_users(struct doveadm_cmd_context* cctx,
                                            const migrate::Tools& tools) {
  const std::string user = text_param(cctx, "user", ""), file = text_param(cctx, "user-file", "");
  if (flag_param(cctx, "all-users") || user.find_first_of("*?") != std::string::npos) {
    return migrate::ListUsers(tools, user.empty() ? "*" : user);
  }
  std::vector<std::string> users;
  if (!file.empty()) {
    std::ifstream lines(file);
    if (!lines) {
      return Status::FromErrno("reading " + file, errno != 0 ? errno : EIO);
    }
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) {
        users.push_back(line);
      }
    }
  } else if (!user.empty()) {
    users.push_back(user);
  } else {
    return Status(Code::kInvalid, "name users: -u USER, -u MASK, -F FILE or -A");
  }
  return users;
}

void print_headers() {
  const auto number = static_cast<enum doveadm_print_header_flags>(
      DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY | DOVEADM_PRINT_HEADER_FLAG_NUMBER);
  doveadm_print_header("user", "User", DOVEADM_PRINT_HEADER_FLAG_HIDE_TITLE);
  doveadm_print_header("result", "Result", DOVEADM_PRINT_HEADER_FLAG_HIDE_TITLE);
  doveadm_print_header("messages", "messages", number);
  doveadm_print_header("bytes-before", "bytes-before", number);
  doveadm_print_header("bytes-after", "bytes-after", number);
  doveadm_print_header("seconds", "seconds", number);
  doveadm_print_header("closed-ms", "closed-ms", number);
  doveadm_print_header("text", "text", DOVEADM_PRINT_HEADER_FLAG_HIDE_TITLE);
}

void print_report(const std::string& user, const migrate::Report& report) {
  doveadm_print(user.c_str());
  doveadm_print(migrate::ResultName(report.result));
  doveadm_print_num(report.messages);
  doveadm_print_num(report.bytes_before);
  doveadm_print_num(report.bytes_after);
  doveadm_print_num(report.seconds);
  doveadm_print_num(report.closed_milliseconds);
  doveadm_print(report.text.c_str());
  for (const std::string& difference : report.differences) {
    i_error("lbox migrate(%s): %s", user.c_str(), difference.c_str());
  }
  (void)fflush(stdout);
}

void print_totals(const migrate::Totals& totals, size_t users, time_t began) {
  const uint64_t ended =
      totals.done + totals.skipped + totals.would + totals.differs + totals.failed;
  std::string text = std::to_string(totals.done) + " users moved, " +
                     std::to_string(totals.messages) + " messages, " +
                     migrate::ShownBytes(totals.bytes_before) + " before, " +
                     migrate::ShownBytes(totals.bytes_after) + " after, in " +
                     migrate::ShownSeconds(time(nullptr) - began);
  const auto more = [&](uint64_t count, const char* what) {
    if (count > 0) {
      text += "; " + std::to_string(count) + " " + what;
    }
  };
  more(totals.would, "would be moved");
  more(totals.skipped, "were there already");
  more(totals.differs, "copies differ");
  more(totals.failed, "failed");
  more(users - ended, "not begun");
  if (totals.differs + totals.failed + (users - ended) > 0) {
    text += ": run it again to go on";
  }
  (void)fprintf(stderr, "%s\n", text.c_str());
}

// Returns the exit status.
int migrate_users(struct doveadm_cmd_context* cctx) {
  auto options = read_options(cctx);
  auto users = options.ok() ? read_users(cctx, options->plan.tools)
                            : Result<std::vector<std::string>>(options.status());
  Status status = users.status();
  if (status.ok() && geteuid() != 0) {
    status = Status(Code::kPermission, "doveadm lbox migrate has to be run by root");
  }
  if (status.ok()) {
    status = migrate::CheckPlugins(options->plan.tools);
  }
  if (status.ok()) {
    status = make_folder(options->plan.folder);
  }
  if (!status.ok()) {
    i_error("lbox migrate: %s", status.message().c_str());
    return status.code() == Code::kInvalid      ? EX_USAGE
           : status.code() == Code::kPermission ? EX_NOPERM
                                                : EX_TEMPFAIL;
  }
  print_headers();
  const time_t began = time(nullptr);
  const migrate::Totals totals = migrate::MoveAll(options.value(), users.value(), print_report);
  print_totals(totals, users->size(), began);
  const bool all = totals.done + totals.skipped + totals.would == users->size();
  return all ? 0 : totals.differs > 0 ? EX_DATAERR : EX_TEMPFAIL;
}

}  // namespace

void cmd_lbox_migrate(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_FLOW);
  int code = EX_TEMPFAIL;
  try {
    code = migrate_users(cctx);
  } catch (const std::exception& error) {
    i_error("lbox migrate: %s", error.what());
  }
  if (code != 0) {
    doveadm_exit_code = code;
  }
}

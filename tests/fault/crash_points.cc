#include "tests/fault/crash_points.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <unistd.h>

#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

// Where the test is, should the store end the process.
char position[2000];

void Died(int signal) {
  const char* name = signal == SIGBUS    ? "\nSIGBUS "
                     : signal == SIGSEGV ? "\nSIGSEGV "
                                         : "\nSIGABRT ";
  (void)!write(STDERR_FILENO, name, strlen(name));
  (void)!write(STDERR_FILENO, position, strlen(position));
  (void)!write(STDERR_FILENO, "\n", 1);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

class NoFlushes : public CallObserver {
  bool skip_flushes() const override { return true; }
};

// One folder that a cut left.
class Boot {
 public:
  Boot(const std::string& folder, const std::vector<const Model*>& expected,
       const CrashOptions& options)
      : expected_(expected), options_(options), driver_(OptionsFor(folder)) {}

  std::vector<std::string> Look(bool afterwards) {
    NoFlushes no_flushes;
    const Observe observe(no_flushes);
    if (Status status = driver_.Open(); !status.ok()) {
      return {"the store does not open: " + status.message()};
    }
    Recognize();
    Note("at first", driver_.Problems(options_.bodies));
    if (afterwards && problems_.empty()) {
      GoOn();
    }
    return problems_;
  }

 private:
  // Which of the states that may be is it?
  void Recognize() {
    const auto said = Describe(driver_.store());
    driver_.model = *expected_.back();
    for (const Model* model : expected_) {
      if (said.ok() && *said == Describe(*model)) {
        driver_.model = *model;
      }
    }
  }

  void Note(const std::string& when, const std::vector<std::string>& problems) {
    for (const std::string& problem : problems) {
      problems_.push_back(when + ": " + problem);
    }
  }
  bool Must(const std::string& what, const Status& status) {
    if (!status.ok()) {
      problems_.push_back(what + ": " + status.message());
    }
    return status.ok();
  }

  void GoOn() {
    if (driver_.model.empty() && !Must("creating a mailbox", driver_.CreateBox(1))) {
      return;
    }
    const int box = driver_.model.begin()->first;
    if (!Must("delivering", driver_.Deliver(box, {{Noise(500, 77), 0, {"new"}, ""},
                                                  {Noise(180 * 1000, 78), 0, {}, ""}})) ||
        !Must("expunging", driver_.Expunge(box, 1, driver_.model[box].next_uid - 3)) ||
        !Must("changing flags", driver_.Flag(box, 1, UINT32_MAX, 1, 0)) ||
        !Must("freeing", driver_.Maintain(true))) {
      return;
    }
    Note("afterwards", driver_.Problems(options_.bodies));
    Note("afterwards", driver_.Leftovers());
    driver_.Close();
    if (Must("opening once more", driver_.Open())) {
      Note("opened once more", driver_.Problems(false));
    }
  }

  const std::vector<const Model*>& expected_;
  const CrashOptions& options_;
  Driver driver_;
  std::vector<std::string> problems_;
};

void MakeEmpty(const std::string& folder) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
}

}  // namespace

size_t Thinned(size_t step) {
#ifdef __SANITIZE_ADDRESS__
  step *= 4;
#endif
  return getenv("LBOX_FAULT_ALL") != nullptr ? 1 : step;
}

std::vector<std::string> LookAtBoot(const std::string& store,
                                    const std::vector<const Model*>& expected,
                                    const CrashOptions& options, bool afterwards) {
  return Boot(store, expected, options).Look(afterwards);
}

CrashReport TestCrashPoints(const Recording& recording, const std::string& work,
                            const CrashOptions& options) {
  for (const int signal : {SIGBUS, SIGSEGV, SIGABRT}) {
    std::signal(signal, Died);
  }
  const auto start = std::chrono::steady_clock::now();
  CrashReport report;
  Disk disk(recording.trace, options.ignored);
  for (size_t point = recording.begin; point <= recording.trace.ops.size();
       point += options.stride) {
    disk.Advance(point);
    report.points++;
    for (const CutKind cut : options.cuts) {
      const auto expected = recording.Expected(point, cut == CutKind::kTorn);
      const std::string image = work + "/image";
      MakeEmpty(image);
      disk.Cut(cut, image);
      const std::string where = std::string(CutName(cut)) + " " + recording.Describe(point);
      strncpy(position, where.c_str(), sizeof(position) - 1);
      report.boots++;
      const bool afterwards = options.afterwards != 0 && report.boots % options.afterwards == 0;
      const auto problems = LookAtBoot(image + "/" + options.store, expected, options, afterwards);
      if (problems.empty()) {
        continue;
      }
      report.failed++;
      if (report.failures.size() < options.told) {
        std::string text = where;
        for (const std::string& problem : problems) {
          text += "\n  " + problem;
        }
        report.failures.push_back(text);
      }
    }
    if (report.failed >= options.enough) {
      break;
    }
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace lbox::testing

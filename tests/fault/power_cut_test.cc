// The power is cut after every single call of a workload, and what is found on the disk is opened,
// compared with what was acknowledged, checked and worked with.
#include <cstdio>

#include <gtest/gtest.h>

#include "tests/fault/crash_points.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

void Tell(const char* what, const CrashReport& report) {
  printf("%s: %zu points, %zu boots, %zu failed, %.1f s, %.0f boots a minute\n", what,
         report.points, report.boots, report.failed, report.seconds,
         static_cast<double>(report.boots) * 60 / report.seconds);
  fflush(stdout);
}

void ExpectNoLoss(const char* what, const CrashReport& report) {
  Tell(what, report);
  for (const std::string& failure : report.failures) {
    ADD_FAILURE() << failure;
  }
}

TEST(PowerCutTest, Everything) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "recorded");
  const Recording recording = RecordEverything(folder / "recorded");
  ASSERT_FALSE(HasFatalFailure());
  ExpectNoLoss("everything", TestCrashPoints(recording, folder.path(), {}));
}

}  // namespace
}  // namespace lbox::testing

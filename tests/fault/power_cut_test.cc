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

// Every point when LBOX_FAULT_ALL is set, else as many as `stride` leaves.
size_t Stride(size_t stride) {
  return getenv("LBOX_FAULT_ALL") != nullptr ? 1 : stride;
}

TEST(PowerCutTest, Everything) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "recorded");
  const Recording recording = RecordEverything(folder / "recorded");
  ASSERT_FALSE(HasFatalFailure());
  ExpectNoLoss("everything", TestCrashPoints(recording, folder.path(), {}));
}

void CutTwice(CutKind first, size_t stride) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "recorded");
  const Recording recording = RecordEverything(folder / "recorded");
  ASSERT_FALSE(::testing::Test::HasFatalFailure());
  CrashReport all;
  for (size_t point = 0; point < recording.trace.ops.size() && all.failed == 0;
       point += Stride(stride)) {
    SCOPED_TRACE(recording.Describe(point));
    const std::string next = folder / "next";
    std::filesystem::remove_all(next);
    std::filesystem::create_directory(next);
    const Recording second = RecordNext(recording, point, first, next);
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    CrashOptions options;
    options.cuts = {CutKind::kDropped};
    options.afterwards = 0;
    options.stride = Stride(2);
    const CrashReport report = TestCrashPoints(second, folder.path(), options);
    all.points += report.points;
    all.boots += report.boots;
    all.failed += report.failed;
    all.seconds += report.seconds;
    for (const std::string& failure : report.failures) {
      ADD_FAILURE() << failure;
    }
  }
  Tell(CutName(first), all);
}

// A program is killed, the next one goes on with what it left, then the power goes.
TEST(PowerCutTest, AfterAKill) {
  CutTwice(CutKind::kKilled, 7);
}

// The power goes again while the store recovers.
TEST(PowerCutTest, AgainAfterACut) {
  CutTwice(CutKind::kScattered, 7);
}

}  // namespace
}  // namespace lbox::testing

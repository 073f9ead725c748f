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

// A folder for one test, and a workload recorded in it.
class PowerCutTest : public ::testing::Test {
 protected:
  void Start(Record record) {
    std::filesystem::create_directory(folder_ / "recorded");
    recording_ = record(folder_ / "recorded");
  }

  CrashReport Cut(const CrashOptions& options = {}) {
    return TestCrashPoints(recording_, folder_.path(), options);
  }

  // A cut at each point of what the next program does with what is left at each point.
  void CutAgain(CutKind first, size_t begin, size_t stride) {
    CrashReport all;
    for (size_t point = begin; point < recording_.trace.ops.size() && all.failed == 0;
         point += Thinned(stride)) {
      SCOPED_TRACE(recording_.Describe(point));
      const std::string next = folder_ / "next";
      std::filesystem::remove_all(next);
      std::filesystem::create_directory(next);
      const Recording second = RecordNext(recording_, point, first, next);
      ASSERT_FALSE(HasFatalFailure());
      CrashOptions options;
      options.cuts = {CutKind::kDropped, CutKind::kScattered};
      options.afterwards = 0;
      options.stride = Thinned(2);
      const CrashReport report = TestCrashPoints(second, folder_.path(), options);
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

  // The first call of a step.
  [[nodiscard]] size_t BeginOf(const std::string& step) const {
    size_t begin = 0;
    for (const Step& each : recording_.steps) {
      if (each.name == step) {
        return begin;
      }
      begin = each.end;
    }
    ADD_FAILURE() << "no step \"" << step << '"';
    return 0;
  }

  const TempFolder folder_;
  Recording recording_;
};

TEST_F(PowerCutTest, Everything) {
  Start(RecordEverything);
  ASSERT_FALSE(HasFatalFailure());
  CrashOptions options;
  options.stride = Thinned(1);
  ExpectNoLoss("everything", Cut(options));
}

// A program is killed, the next one goes on with what it left, then the power goes.
TEST_F(PowerCutTest, AfterAKill) {
  Start(RecordEverything);
  ASSERT_FALSE(HasFatalFailure());
  CutAgain(CutKind::kKilled, 0, 11);
}

// The power goes again while the store recovers.
TEST_F(PowerCutTest, AgainAfterACut) {
  Start(RecordEverything);
  ASSERT_FALSE(HasFatalFailure());
  CutAgain(CutKind::kScattered, 5, 11);
}

TEST_F(PowerCutTest, Shrink) {
  Start(RecordShrink);
  ASSERT_FALSE(HasFatalFailure());
  CrashOptions options;
  options.bodies = false;
  options.stride = Thinned(1);
  recording_.begin = BeginOf("expunge the rest");
  ExpectNoLoss("shrink", Cut(options));
}

TEST_F(PowerCutTest, ShrinkAfterAKill) {
  Start(RecordShrink);
  ASSERT_FALSE(HasFatalFailure());
  CutAgain(CutKind::kKilled, BeginOf("shrink"), 5);
}

TEST_F(PowerCutTest, PackRoll) {
  Start(RecordPackRoll);
  ASSERT_FALSE(HasFatalFailure());
  CrashOptions options;
  options.stride = Thinned(5);
  recording_.begin = BeginOf("roll the pack");
  ExpectNoLoss("pack roll", Cut(options));
}

// Other operations each time that LBOX_FAULT_SEED says so; as many workloads as LBOX_FAULT_SEEDS
// says.
TEST_F(PowerCutTest, Random) {
  const char* seed = getenv("LBOX_FAULT_SEED");
  const char* count = getenv("LBOX_FAULT_SEEDS");
  const uint64_t first = seed == nullptr ? 1 : strtoull(seed, nullptr, 10);
  const uint64_t end = first + (count == nullptr ? 2 : strtoull(count, nullptr, 10));
  for (uint64_t each = first; each != end && !HasFailure(); each++) {
    std::filesystem::remove_all(folder_ / "recorded");
    std::filesystem::create_directory(folder_ / "recorded");
    recording_ = RecordRandom(folder_ / "recorded", each);
    ASSERT_FALSE(HasFatalFailure());
    CrashOptions options;
    options.stride = Thinned(5);
    options.afterwards = 7;
    ExpectNoLoss(("random, seed " + std::to_string(each)).c_str(), Cut(options));
  }
}

// Controls: a disk that acknowledges some flushes without doing them loses mail, or a store, and
// that is noticed. So each of these flushes is needed.
struct Control {
  const char* what;
  Op::Kind kind;
  const char* in;  // the part of the path that tells them
};

class ControlTest : public PowerCutTest {
 protected:
  void ExpectLoss(const Control& control) {
    SCOPED_TRACE(control.what);
    CrashOptions options;
    options.cuts = {CutKind::kDropped};
    options.afterwards = 0;
    options.enough = 1;
    options.bodies = true;
    options.ignored = [&control](const Op& op) {
      return op.kind == control.kind && (op.kind != Op::Kind::kWrite || op.through) &&
             ((op.kind == Op::Kind::kSyncDirectory ? op.directory : op.path) + "$")
                     .find(control.in) != std::string::npos;
    };
    const CrashReport report = Cut(options);
    EXPECT_GT(report.failed, 0u) << "nothing was lost in " << report.boots << " boots";
  }
};

TEST_F(ControlTest, FlushesLeftOut) {
  Start(RecordEverything);
  ASSERT_FALSE(HasFatalFailure());
  for (const Control& control : std::initializer_list<Control>{
           {"records in packs", Op::Kind::kSync, "/p/"},
           {"rewritten packs", Op::Kind::kSync, "/tmp/reclaim"},
           {"large bodies", Op::Kind::kSync, "/tmp/"},
           {"pages of the index", Op::Kind::kSync, "/index."},
           {"commits of the index", Op::Kind::kWrite, "/index."},
           {"names of packs", Op::Kind::kSyncDirectory, "/p$"},
           {"names of large bodies", Op::Kind::kSyncDirectory, "/l$"},
           {"names in the store's folder", Op::Kind::kSyncDirectory, "/lbox$"},
           {"the store's name", Op::Kind::kSyncDirectory, "vmail/ann$"},
       }) {
    ExpectLoss(control);
  }
}

TEST_F(ControlTest, FlushesLeftOutOfAShrink) {
  Start(RecordShrink);
  ASSERT_FALSE(HasFatalFailure());
  recording_.begin = BeginOf("shrink");
  for (const Control& control : std::initializer_list<Control>{
           {"pages of the new index", Op::Kind::kSync, "/index.2$"},
           {"CURRENT", Op::Kind::kSync, "/CURRENT.new"},
           {"names in the store's folder", Op::Kind::kSyncDirectory, "/lbox$"},
       }) {
    ExpectLoss(control);
  }
}

}  // namespace
}  // namespace lbox::testing

// Power cuts and lost indexes: the power goes at each call of a rebuild, of an upgrade, and
// together with the index.
#include <cstdio>
#include <filesystem>

#include <gtest/gtest.h>

#include "storage/store_impl.h"
#include "tests/fault/crash_points.h"
#include "tests/fault/failing_calls.h"
#include "tests/fault/rebuild_fixture.h"

namespace lbox::testing {
namespace {

namespace fs = std::filesystem;

struct CutCount {
  size_t points = 0, boots = 0, again = 0;
};

class CutRebuildTest : public RebuildTest {
 protected:
  std::string Fresh(const std::string& name) {
    fs::remove_all(folder_ / name);
    fs::create_directory(folder_ / name);
    return folder_ / name;
  }

  static void Check(const std::string& store, const Model& model, CutCount& count) {
    const StoreOptions options = OptionsFor(store);
    count.boots++;
    Driver driver(options, model);
    if (!driver.Open().ok()) {
      count.again++;
      const RebuildReport report = MustRebuild(options);
      EXPECT_EQ(report.lost_count, 0u) << ToText(report);
      EXPECT_EQ(report.doubtful_count, 0u) << ToText(report);
      const Status status = driver.Open();
      ASSERT_TRUE(status.ok()) << status.message();
    }
    for (auto& [number, box] : driver.model) {
      const auto info = driver.store().GetMailbox(MakeGuid(static_cast<uint64_t>(number)));
      ASSERT_TRUE(info.ok()) << info.status().message();
      EXPECT_GE(info->change, box.change);
      EXPECT_GE(info->next_uid, box.next_uid);
      box.change = info->change;
      box.next_uid = info->next_uid;
    }
    for (const std::string& problem : driver.Problems()) {
      ADD_FAILURE() << problem;
    }
  }

  // What must be there: of the states that may be, what all of them have.
  static Model Promised(const Recording& recording, size_t point) {
    const auto expected = recording.Expected(point);
    Model promised = *expected.front();
    for (const Model* other : expected) {
      std::erase_if(promised, [&](const auto& box) { return !other->contains(box.first); });
      for (auto& [number, box] : promised) {
        const ModelMailbox& same = other->at(number);
        box.next_uid = std::min(box.next_uid, same.next_uid);
        std::erase_if(box.messages,
                      [&](const auto& entry) { return !same.messages.contains(entry.first); });
      }
    }
    return promised;
  }

  // What is wrong with the stores that cuts leave, rebuilt without their index; up to the first.
  std::vector<std::string> CutAndLose(const Recording& base, const Disk::Ignored& ignored,
                                      size_t stride);

  // As lbox wrote it before there were journals and index copies.
  void MakeFirstFormat(const StoreOptions& options) {
    {
      auto store = lbox::testing::MustOpen(options);
      ASSERT_NE(store, nullptr);
      Must(StoreImpl::Of(*store).Write(Purpose::kDelete, [](Txn& txn) -> Status {
        MetaRow& meta = txn.meta;
        meta.format = kFirstStoreFormat;
        meta.copied = meta.journaled = 0;
        meta.journal = meta.journal_tail = meta.changed = meta.copied_at = meta.boot = 0;
        return {};
      }));
    }
    Lose(options.path, {.index = false, .copy = true, .journal = true});
    std::string current = ReadFile(options.path + "/CURRENT");
    current.replace(0, 12, "lbox-store 1");
    WriteFile(options.path + "/CURRENT", current);
  }

  // The folder that a cut of `recording` leaves.
  std::string Boot(Disk& disk, CutKind cut) {
    const std::string image = folder_ / "image";
    fs::remove_all(image);
    fs::create_directory(image);
    disk.Cut(cut, image);
    return image + "/" + kStoreFolder;
  }
};

// The power goes at each call of a rebuild. The store is as before, or rebuilt, or it can be
// rebuilt again; and always holds the same.
TEST_F(CutRebuildTest, ACutAtEachCall) {
  Recording base = RecordEverything(Fresh("recorded"));
  ASSERT_FALSE(HasFatalFailure());
  for (const bool readable : {false, true}) {
    const std::string folder = Fresh("next");
    Disk disk(base.trace);
    disk.Advance(base.trace.ops.size());
    disk.Cut(CutKind::kKilled, folder);
    const StoreOptions options = StoreIn(folder);
    const Model model = base.steps.back().after;
    if (!readable) {
      Lose(options.path, {});
    }
    Recorder recorder(folder, Recorder(folder).trace);
    {
      const Observe observe(recorder);
      MustRebuild(options);
    }
    CutCount count;
    Disk cuts(recorder.trace);
    for (size_t point = 0; point <= recorder.trace.ops.size(); point += Thinned(1)) {
      cuts.Advance(point);
      count.points++;
      for (const CutKind cut :
           {CutKind::kDropped, CutKind::kTorn, CutKind::kScattered, CutKind::kKilled}) {
        SCOPED_TRACE(std::string(CutName(cut)) + " before call " + std::to_string(point) + " of " +
                     std::to_string(recorder.trace.ops.size()));
        Check(Boot(cuts, cut), model, count);
        if (HasFailure()) {
          return;
        }
      }
    }
    // Once it has succeeded, it is durable; and not for want of looking.
    cuts.Advance(recorder.trace.ops.size());
    EXPECT_TRUE(Store::Open(OptionsFor(Boot(cuts, CutKind::kDropped))).ok());
    for (const char* in : {"/index.2", "/CURRENT.new"}) {
      Disk lying(recorder.trace, [in](const Op& op) {
        return op.kind == Op::Kind::kSync && op.path.find(in) != std::string::npos;
      });
      lying.Advance(recorder.trace.ops.size());
      EXPECT_FALSE(Store::Open(OptionsFor(Boot(lying, CutKind::kDropped))).ok()) << in;
    }
    printf("%s index: %zu points, %zu boots, %zu of them rebuilt again\n",
           readable ? "a readable" : "no", count.points, count.boots, count.again);
    EXPECT_GT(count.again, 0u);
    EXPECT_LT(count.again, count.boots);
  }
}

// Each call of a rebuild fails in turn: it says so, and the next attempt works.
TEST_F(CutRebuildTest, EachCallFailing) {
  const Recording base = RecordSmallStore(Fresh("recorded"));
  ASSERT_FALSE(HasFatalFailure());
  size_t attempts = 0, failures = 0;
  for (const Fault& fault : Faults()) {
    for (size_t n = 1; !HasFailure(); n += n < 5 ? 1 : Thinned(3)) {
      const std::string folder = Fresh("store");
      Disk disk(base.trace);
      disk.Advance(base.trace.ops.size());
      disk.Cut(CutKind::kKilled, folder);
      const StoreOptions options = StoreIn(folder);
      FailingCalls calls(folder);
      const Observe observe(calls);
      calls.Arm(fault, n, false);
      RebuildReport report;
      const Status status = RebuildIndex(options, &report);
      calls.Disarm();
      if (calls.failed().empty()) {
        EXPECT_TRUE(status.ok()) << status.message();
        break;
      }
      SCOPED_TRACE(std::string(fault.name) + ", call " + std::to_string(n) + ": " + calls.failed());
      attempts++;
      if (!status.ok()) {
        failures++;
        EXPECT_NE(std::find(fault.codes.begin(), fault.codes.end(), status.code()),
                  fault.codes.end())
            << status.message();
        MustRebuild(options);
      }
      CutCount count;
      Check(options.path, base.steps.back().after, count);
      EXPECT_EQ(count.again, 0u);
    }
  }
  printf("rebuild: %zu attempts met a fault, %zu failed of it\n", attempts, failures);
  EXPECT_GT(failures, 0u);
}

// The power goes at each call of all that a user does, and takes the index with it: no mail that
// was acknowledged is lost, no UID is given again.
TEST_F(CutRebuildTest, CutAndIndexLostAtOnce) {
  const Recording base = RecordEverything(Fresh("recorded"));
  ASSERT_FALSE(HasFatalFailure());
  const auto problems = CutAndLose(base, nullptr, 3);
  for (const std::string& problem : problems) {
    ADD_FAILURE() << problem;
  }
}

// The same with other operations; as many workloads as LBOX_FAULT_SEEDS says.
TEST_F(CutRebuildTest, CutAndIndexLostAtOnceRandom) {
  for (uint64_t seed = 1; seed <= Seeds(2) && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Recording base = RecordRandom(Fresh("recorded"), seed);
    ASSERT_FALSE(HasFatalFailure());
    for (const std::string& problem : CutAndLose(base, nullptr, 7)) {
      ADD_FAILURE() << problem;
    }
  }
}

// Control: where packs are not flushed, mail is lost, and that is noticed.
TEST_F(CutRebuildTest, ControlCutAndIndexLostWithoutFlushes) {
  const Recording base = RecordEverything(Fresh("recorded"));
  ASSERT_FALSE(HasFatalFailure());
  const auto ignored = [](const Op& op) {
    return op.kind == Op::Kind::kSync && op.path.find("/p/") != std::string::npos;
  };
  EXPECT_FALSE(CutAndLose(base, ignored, 7).empty());
}

std::vector<std::string> CutRebuildTest::CutAndLose(const Recording& base,
                                                    const Disk::Ignored& ignored, size_t stride) {
  std::vector<std::string> problems;
  OtherBoot env;
  size_t boots = 0;
  Disk disk(base.trace, ignored);
  for (size_t point = base.steps.at(0).end; point <= base.trace.ops.size();
       point += Thinned(stride)) {
    disk.Advance(point);
    for (const CutKind cut : {CutKind::kDropped, CutKind::kScattered, CutKind::kKilled}) {
      StoreOptions options = OptionsFor(Boot(disk, cut));
      options.env = &env;
      Lose(options.path, {});
      const std::string where = std::string(CutName(cut)) + " " + base.Describe(point) + "\n";
      RebuildReport report;
      if (const Status status = RebuildIndex(options, &report); !status.ok()) {
        problems.push_back(where + status.message());
        return problems;
      }
      auto store = lbox::testing::MustOpen(options);
      if (store == nullptr) {
        return {where + "does not open"};
      }
      // Of what was acknowledged before the step under way.
      for (const std::string& problem : Missing(*store, Promised(base, point))) {
        problems.push_back(where + problem + '\n' + ToText(report));
      }
      const auto checked = CheckStore(*store, {true, false});
      // Half a batch may be there: a pack with a hole, which the report tells of.
      if (!checked.ok() || (report.damaged_bytes == 0 && !checked->problems.empty())) {
        problems.push_back(where +
                           (checked.ok() ? checked->problems.front() : checked.status().message()));
      }
      boots++;
      if (!problems.empty()) {
        return problems;
      }
    }
  }
  printf("%zu boots without an index\n", boots);
  return problems;
}

// A store of the first format, upgraded: at each cut it opens, and holds the same.
TEST_F(CutRebuildTest, UpgradeCutAtEachCall) {
  const Recording base = RecordSmallStore(Fresh("recorded"));
  ASSERT_FALSE(HasFatalFailure());
  const std::string folder = Fresh("next");
  Disk disk(base.trace);
  disk.Advance(base.trace.ops.size());
  disk.Cut(CutKind::kKilled, folder);
  const StoreOptions options = StoreIn(folder);
  MakeFirstFormat(options);
  const std::vector<Model> models{base.steps.back().after};
  Script script(folder, Recorder(folder).trace, models);
  script.Resume();
  script.Do("close", [](Driver& d) {
    d.Close();
    return Status();
  });
  EXPECT_TRUE(ReadFile(options.path + "/CURRENT").starts_with("lbox-store 2\n"));
  EXPECT_TRUE(fs::exists(options.path + "/journal.1"));
  script.Do("open", [](Driver& d) { return d.Open(); });
  script.Do("deliver", [](Driver& d) { return d.Deliver(1, {Mail(91)}); });
  script.Do("upkeep", [](Driver& d) { return d.Maintain(false); });
  EXPECT_TRUE(fs::exists(options.path + "/index.copy")) << "the first upkeep takes one";
  script.Do("expunge", [](Driver& d) { return d.Expunge(1, 1, 1); });
  Recording recording = script.Finish();
  ASSERT_FALSE(HasFatalFailure());
  CrashOptions crash;
  crash.stride = Thinned(1);
  const CrashReport report = TestCrashPoints(recording, folder_.path(), crash);
  printf("upgrade: %zu points, %zu boots\n", report.points, report.boots);
  for (const std::string& failure : report.failures) {
    ADD_FAILURE() << failure;
  }
  EXPECT_GT(report.points, 10u);
  // Control: not without the flush of CURRENT.
  crash.ignored = [](const Op& op) {
    return op.kind == Op::Kind::kSync && op.path.find("/CURRENT.new") != std::string::npos;
  };
  EXPECT_GT(TestCrashPoints(recording, folder_.path(), crash).failed, 0u);
  // And what it has become can be rebuilt.
  Driver driver(options, recording.steps.back().after);
  Lose(options.path, {});
  EXPECT_FALSE(MustRebuild(options).journal_gap);
  Must(driver.Open());
  FollowJumps(driver, true);
  for (const std::string& problem : driver.Problems()) {
    ADD_FAILURE() << problem;
  }
}

}  // namespace
}  // namespace lbox::testing

// Every operation with every call failing: the first, the second, ... until it succeeds.
#include <cstdio>
#include <filesystem>
#include <optional>

#include <gtest/gtest.h>

#include "storage/status_macros.h"
#include "tests/fault/crash_points.h"
#include "tests/fault/failing_calls.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

struct Operation {
  const char* name;
  Record base;  // the store before it
  std::function<Status(Driver&)> run;
  bool opens = false;  // it begins with a store that is not open
};

NewMail Mail(uint64_t seed, size_t size) {
  return {Noise(size, seed), 0, {}, ""};
}

Status ReadAll(Driver& driver) {
  return Describe(driver.store()).status();
}

const std::vector<Operation>& Operations() {
  static const std::vector<Operation> operations{
      {"CreateStore", RecordNothing, [](Driver& d) { return d.Open(); }, true},
      {"OpenStore", RecordSmallStore, [](Driver& d) { return d.Open(); }, true},
      {"CreateMailbox", RecordSmallStore, [](Driver& d) { return d.CreateBox(7); }},
      {"DeliverSmall", RecordSmallStore, [](Driver& d) { return d.Deliver(1, {Mail(61, 900)}); }},
      {"DeliverLarge", RecordSmallStore,
       [](Driver& d) { return d.Deliver(1, {Mail(62, 180000)}); }},
      {"DeliverBatch", RecordSmallStore,
       [](Driver& d) {
         return d.Deliver(2, {Mail(63, 900), Mail(64, 180000), Mail(65, 20000)});
       }},
      {"Copy", RecordSmallStore, [](Driver& d) { return d.Copy(1, 1, 9, 2); }},
      {"Flags", RecordSmallStore, [](Driver& d) { return d.Flag(1, 1, 9, 1, 2); }},
      {"Keyword", RecordSmallStore, [](Driver& d) { return d.Keyword(1, 1, 9, "new", true); }},
      {"ExpungeSmall", RecordSmallStore, [](Driver& d) { return d.Expunge(1, 1, 1); }},
      {"ExpungeLarge", RecordSmallStore, [](Driver& d) { return d.Expunge(1, 3, 3); }},
      {"RenameMailbox", RecordSmallStore, [](Driver& d) { return d.RenameBox(1, "Other"); }},
      {"DeleteMailbox", RecordSmallStore, [](Driver& d) { return d.DeleteBox(2); }},
      {"ReadAll", RecordSmallStore, ReadAll},
      {"Upkeep", RecordSmallStore, [](Driver& d) { return d.Maintain(true); }},
      {"Shrink", RecordShrinkable, [](Driver& d) { return d.Maintain(true); }},
  };
  return operations;
}

class FailingCall : public ::testing::Test {
 protected:
  void Use(const Operation& operation) {
    operation_ = operation;
    std::filesystem::create_directory(folder_ / "base");
    base_ = operation_.base(folder_ / "base");
    ASSERT_FALSE(HasFatalFailure());
  }

  void MakeStore(const std::string& path) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directory(path);
    Disk disk(base_.trace);
    disk.Advance(base_.trace.ops.size());
    disk.Cut(CutKind::kKilled, path);
  }

  // One attempt that meets the fault, and the next, that does not. False: it met none.
  bool Attempt(const Fault& fault, size_t n, bool all_after) {
    MakeStore(folder_ / "store");
    FailingCalls calls(folder_ / "store");
    Driver driver(StoreIn(folder_ / "store"),
                  base_.steps.empty() ? Model() : base_.steps.back().after);
    const Observe observe(calls);
    if (!operation_.opens) {
      const Status status = driver.Open();
      EXPECT_TRUE(status.ok()) << status.message();
    }
    const Model before = driver.model;
    calls.Arm(fault, n, all_after);
    const Status status = operation_.run(driver);
    calls.Disarm();
    if (calls.failed().empty()) {
      EXPECT_TRUE(status.ok()) << status.message();
      return false;
    }
    attempts_++;
    SCOPED_TRACE(std::string(fault.name) + ", call " + std::to_string(n) +
                 (all_after ? " and after: " : ": ") + calls.failed());
    if (!status.ok()) {
      failures_++;
      EXPECT_NE(std::find(fault.codes.begin(), fault.codes.end(), status.code()), fault.codes.end())
          << "code " << static_cast<int>(status.code()) << ": " << status.message();
      if (driver.open()) {
        Expect("after the failure", driver.Problems());
      }
      if (!fault.made) {
        std::vector<const Model*> expected{&before};
        if (all_after && !driver.attempted.empty()) {
          expected.push_back(&driver.attempted);  // nobody could take its records back
        }
        CutAndLook("a cut after the failure", calls, expected);
      }
      const Status next = operation_.run(driver);
      EXPECT_TRUE(next.ok()) << "the next attempt: " << next.message()
                             << "\nafter: " << status.message();
      if (!next.ok()) {
        return true;
      }
      if (fault.made) {
        CutFrom(calls.failed_at(), calls, before, driver.model);
      }
    }
    Expect("in the end", driver.Problems());
    CutAndLook("a cut in the end", calls, {&driver.model});
    if (all_ || attempts_ % 4 == 0) {
      const Status freed = driver.Maintain(true);
      EXPECT_TRUE(freed.ok()) << freed.message();
      Expect("freed", driver.Problems());
      Expect("freed", driver.Leftovers());
    }
    driver.Close();
    EXPECT_EQ(calls.open_files(), 0u) << "files are left open";
    return true;
  }

  static void Expect(const char* when, const std::vector<std::string>& problems) {
    for (const std::string& problem : problems) {
      ADD_FAILURE() << when << ": " << problem;
    }
  }

  // What is not durable by now is gone.
  void CutAndLook(const char* when, const Recorder& recorder,
                  const std::vector<const Model*>& expected) {
    const std::string image = folder_ / "image";
    std::filesystem::remove_all(image);
    std::filesystem::create_directory(image);
    Disk disk(recorder.trace);
    disk.Advance(recorder.trace.ops.size());
    disk.Cut(CutKind::kDropped, image);
    Expect(when, LookAtBoot(image + "/" + kStoreFolder, expected, {}, false));
  }

  // What failed may have reached the disk: it is there whole or not at all, whenever the power
  // goes.
  void CutFrom(size_t point, const Recorder& recorder, const Model& before, const Model& after) {
    const Recording recording{recorder.trace,
                              {{"the next attempt", recorder.trace.ops.size(), after}},
                              {before, after},
                              point};
    CrashOptions options;
    options.cuts = {CutKind::kDropped, CutKind::kScattered};
    options.afterwards = 0;
    options.stride = Thinned(5);
    if (control_) {
      options.ignored = [done = false, seen = size_t{0}, point](const Op& op) mutable {
        const bool first = seen++ >= point && !done && op.kind == Op::Kind::kSync &&
                           op.path.find("/index.") != std::string::npos;
        done |= first;
        return first;
      };
    }
    const CrashReport report = TestCrashPoints(recording, folder_.path(), options);
    lost_ += report.failed;
    for (const std::string& failure : report.failures) {
      EXPECT_TRUE(control_) << failure;
    }
  }

  Operation operation_{};
  const TempFolder folder_;
  Recording base_;
  const bool all_ = getenv("LBOX_FAULT_ALL") != nullptr;  // leave no call out
  size_t attempts_ = 0, failures_ = 0;
  bool control_ = false;  // the first flush of the index after a failure is not done
  size_t lost_ = 0;
};

class FailingCallTest : public FailingCall, public ::testing::WithParamInterface<size_t> {};

TEST_P(FailingCallTest, EachInTurn) {
  Use(Operations()[GetParam()]);
  for (const Fault& fault : Faults()) {
    for (const bool all_after : {false, true}) {
      if (all_after && fault.error == EINTR) {
        continue;  // that would take for ever
      }
      for (size_t n = 1; !HasFailure() && Attempt(fault, n, all_after);
           n += n < 5 ? 1 : Thinned(3)) {
      }
    }
  }
  printf("%s: %zu attempts met a fault, %zu failed of it\n", operation_.name, attempts_, failures_);
  EXPECT_GT(failures_, 0u);
}

// After a commit that failed the index is flushed before anything else is written. Without that
// flush, what the commit named is lost when it had reached the disk after all; and that is noticed.
TEST_F(FailingCall, ControlWithoutTheFlushThatSettlesIt) {
  for (const Operation& operation : Operations()) {
    if (std::string(operation.name) == "Upkeep") {
      Use(operation);
    }
  }
  control_ = true;
  for (const Fault& fault : Faults()) {
    for (size_t n = 1; fault.made && lost_ == 0 && Attempt(fault, n, false); n++) {
    }
  }
  EXPECT_GT(lost_, 0u);
}

INSTANTIATE_TEST_SUITE_P(Operations, FailingCallTest,
                         ::testing::Range(size_t{0}, Operations().size()),
                         [](const auto& each) { return Operations()[each.param].name; });

}  // namespace
}  // namespace lbox::testing

// A save whose commit is not durable yet (storage/redo.h): what it costs, and that opening the
// store brings it back; and what is not brought back.
#include <algorithm>

#include <gtest/gtest.h>

#include "storage/store_impl.h"
#include "tests/fault/crash_points.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

NewMail Mail(int number, size_t size = 700) {
  return {"Subject: " + std::to_string(number) + "\r\n\r\n" + Noise(size, number),
          8,
          {"work"},
          "uidl-" + std::to_string(number)};
}

class RedoTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(home_);
    Driver driver(options_);
    Must(driver.Open());
    Must(driver.CreateBox(1));
    Must(driver.Deliver(1, {Mail(1)}));
    Must(driver.Flag(1, 1, 1, 1, 0));  // the disk has this and all before
    model_ = driver.model;
  }

  static void Must(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }

  // Runs `work` with an open store, recorded; the model is then what must be there.
  void Run(const std::function<void(Driver&)>& work) {
    Recorder recorder(home_);
    const Observe observe(recorder);
    Driver driver(options_, model_);
    Must(driver.Open());
    work(driver);
    model_ = driver.model;
    trace_ = recorder.trace;
  }

  [[nodiscard]] size_t Flushes() const {
    return std::count_if(trace_.ops.begin(), trace_.ops.end(), [](const Op& op) {
      return op.kind == Op::Kind::kSync || op.kind == Op::Kind::kSyncDirectory || op.through;
    });
  }

  // What the power leaves that goes now.
  std::string Cut() {
    std::filesystem::remove_all(image_);
    std::filesystem::create_directory(image_);
    Disk disk(trace_);
    disk.Advance(trace_.ops.size());
    disk.Cut(CutKind::kDropped, image_);
    return image_ + "/store";
  }

  // Messages in mailbox 1, as the index says that was not opened for use.
  static uint64_t CountBefore(const std::string& store) {
    StoreOptions options = Options(store);
    options.create = false;
    const auto opened = StoreImpl::Open(options, Opening::kExamine);
    EXPECT_TRUE(opened.ok());
    const auto info = (*opened)->GetMailbox(MakeGuid(1));
    EXPECT_TRUE(info.ok());
    return info.ok() ? info->messages : 0;
  }

  void ExpectWhole(const std::string& store) {
    Driver driver(Options(store), model_);
    Must(driver.Open());
    for (const std::string& problem : driver.Problems()) {
      ADD_FAILURE() << problem;
    }
    Must(driver.Deliver(1, {Mail(99)}));
    for (const std::string& problem : driver.Problems()) {
      ADD_FAILURE() << problem;
    }
  }

  static StoreOptions Options(const std::string& path) {
    StoreOptions options;
    options.path = path;
    options.create = true;
    return options;
  }

  const TempFolder folder_;
  const std::string home_ = folder_ / "home", image_ = folder_ / "image";
  const StoreOptions options_ = Options(home_ + "/store");
  Model model_;
  Trace trace_;
};

TEST_F(RedoTest, SmallCostsTwoFlushesAndComesBack) {
  Run([](Driver& driver) { Must(driver.Deliver(1, {Mail(2)})); });
  EXPECT_EQ(Flushes(), 2u);
  const std::string store = Cut();
  EXPECT_EQ(CountBefore(store), 1u) << "the control: the commit was durable";
  ExpectWhole(store);
}

TEST_F(RedoTest, LargeCostsFourFlushesAndComesBack) {
  Run([](Driver& driver) { Must(driver.Deliver(1, {Mail(2, 300'000)})); });
  EXPECT_EQ(Flushes(), 4u);
  const std::string store = Cut();
  EXPECT_EQ(CountBefore(store), 1u);
  ExpectWhole(store);
}

TEST_F(RedoTest, BatchComesBack) {
  Run([](Driver& driver) {
    Must(driver.Deliver(1, {Mail(2), Mail(3, 300'000), Mail(4), Mail(5, 20'000)}));
  });
  const std::string store = Cut();
  EXPECT_EQ(CountBefore(store), 1u);
  ExpectWhole(store);
}

TEST_F(RedoTest, OfSeveralOnlyTheLastIsDoneAgain) {
  Run([](Driver& driver) {
    for (int number = 2; number < 6; number++) {
      Must(driver.Deliver(1, {Mail(number)}));
    }
  });
  const std::string store = Cut();
  EXPECT_EQ(CountBefore(store), 4u);
  ExpectWhole(store);
}

TEST_F(RedoTest, WhatFollowsMakesItDurable) {
  Run([](Driver& driver) {
    Must(driver.Deliver(1, {Mail(2)}));
    Must(driver.Expunge(1, 1, 1));
  });
  const std::string store = Cut();
  EXPECT_EQ(CountBefore(store), 1u);
  ExpectWhole(store);
}

TEST_F(RedoTest, TornIsAbsent) {
  const Model before = model_;
  Run([](Driver& driver) { Must(driver.Deliver(1, {Mail(2), Mail(3)})); });
  const std::string store = Cut();
  const std::string pack = store + "/p/00000001";
  std::filesystem::resize_file(pack, UsedBytes(ReadFile(pack)) - 64);
  model_ = before;
  ExpectWhole(store);
}

TEST_F(RedoTest, AnOlderIndexTakesOnlyWhatIsNext) {
  const Model before = model_;
  const std::string index = options_.path + "/index.1";
  const std::string old = ReadFile(index);
  Run([](Driver& driver) {
    Must(driver.Flag(1, 1, 1, 2, 0));
    Must(driver.Deliver(1, {Mail(2)}));
  });
  WriteFile(index, old);
  model_ = before;
  ExpectWhole(options_.path);
}

}  // namespace
}  // namespace lbox::testing

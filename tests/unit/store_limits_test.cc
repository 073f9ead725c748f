// Full: the map at its limit, the disk without a free block. Saving is refused in time, deleting
// always works, and afterwards there is room again.
#include <gtest/gtest.h>

#include "storage/index_env.h"
#include "storage/store_check.h"
#include "tests/unit/small_disk.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;
using namespace std::chrono_literals;

class StoreLimitsTest : public ::testing::Test {
 protected:
  void TearDown() override { small_disk = {}; }

  void Open(StoreOptions options) {
    options_ = std::move(options);
    store_ = MustOpen(options_);
    ASSERT_NE(store_, nullptr);
    box_ = MustCreate(*store_, 1);
    body_ = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
  }

  Status SaveTiny(uint32_t count) {
    std::vector<NewMessage> messages(count);
    for (NewMessage& message : messages) {
      message.staged = body_.get();
      message.guid = MakeGuid(++serial_);
    }
    return store_->Save(box_, 1, messages, {}).status();
  }

  // Saves until it fails, and says how.
  Status FillUp(uint32_t batch) {
    for (;;) {
      if (Status status = SaveTiny(batch); !status.ok()) {
        return status;
      }
      saved_ += batch;
    }
  }

  void ExpectSound() {
    auto report = CheckStore(*store_, {true, false});
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& problem : report->problems) {
      ADD_FAILURE() << problem;
    }
    EXPECT_EQ(report->messages, saved_);
  }

  void ExpungeOk(uint32_t first, uint32_t last) {
    const Change change = Expunge(first, last);
    const auto result = store_->Apply(box_, {&change, 1});
    ASSERT_TRUE(result.ok()) << result.status().message();
    saved_ -= result->expunged;
  }

  TempFolder folder_;
  StoreOptions options_;
  std::shared_ptr<Store> store_;
  std::unique_ptr<StagedBody> body_;
  Guid box_;
  uint64_t serial_ = 0, saved_ = 0;
};

TEST_F(StoreLimitsTest, MapAtItsLimit) {
  StoreOptions options = OptionsFor(folder_ / "store");
  options.max_map_bytes = 20 * kMiB;
  Open(options);
  const Status full = FillUp(500);
  EXPECT_EQ(full.code(), Code::kFull) << full.message();
  EXPECT_NE(full.message().find("limit 20 MiB"), std::string::npos) << full.message();
  // Some 125 bytes a message, up to the 2 MiB that are for deletions.
  EXPECT_GT(saved_, 120000u);
  ExpectSound();
  const Change keyword{Change::Kind::kKeywordAdd, 1, UINT32_MAX, 0, 0, "$Forwarded"};
  EXPECT_EQ(store_->Apply(box_, {&keyword, 1}).status().code(), Code::kFull);
  // The first step of deleting by IMAP.
  const Change flags = AddFlags(1, UINT32_MAX, 0x04);
  EXPECT_TRUE(store_->Apply(box_, {&flags, 1}).ok());
  // Every tenth: each page is touched, and none becomes free.
  std::vector<Change> scattered;
  for (uint32_t uid = 1; uid < saved_; uid += 10) {
    scattered.push_back(Expunge(uid, uid));
  }
  const auto result = store_->Apply(box_, scattered);
  ASSERT_TRUE(result.ok()) << result.status().message();
  saved_ -= result->expunged;
  EXPECT_EQ(result->expunged, scattered.size());
  ExpectSound();
  ExpungeOk(1, 60000);
  EXPECT_TRUE(SaveTiny(500).ok());
  saved_ += 500;
  ExpectSound();
  const auto status = store_->GetStatus();
  EXPECT_LE(status->map_bytes, options.max_map_bytes);
  EXPECT_EQ(status->map_limit_bytes, options.max_map_bytes);
}

TEST_F(StoreLimitsTest, DeletingAMailboxWithTheMapAtItsLimit) {
  StoreOptions options = OptionsFor(folder_ / "store");
  options.max_map_bytes = 17 * kMiB;
  Open(options);
  EXPECT_EQ(FillUp(500).code(), Code::kFull);
  const Status status = store_->DeleteMailbox(box_);
  ASSERT_TRUE(status.ok()) << status.message();
  saved_ = 0;
  ExpectSound();
  box_ = MustCreate(*store_, 2);
  EXPECT_TRUE(SaveTiny(500).ok());
}

// A limit set below what the index has already: it can be read and emptied, and filled again as far
// as it was, but does not grow.
TEST_F(StoreLimitsTest, LimitBelowTheSizeOfTheIndex) {
  Open(OptionsFor(folder_ / "store"));
  for (int i = 0; i < 200; i++) {
    ASSERT_TRUE(SaveTiny(1000).ok());
    saved_ += 1000;
  }
  const uint64_t index_bytes = store_->GetStatus()->index_bytes;
  body_.reset();
  store_.reset();
  options_.max_map_bytes = 10 * kMiB;
  for (uint32_t i = 0; i < 4; i++) {
    store_ = MustOpen(options_);
    body_ = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
    EXPECT_TRUE(LoadText(*store_, box_, 200000).ok());
    EXPECT_EQ(FillUp(500).code(), Code::kFull);
    ExpungeOk(i * 20000 + 1, (i + 1) * 20000);
    EXPECT_LE(store_->GetStatus()->index_bytes, index_bytes + kReserveBytes);
    body_.reset();
    store_.reset();
  }
  store_ = MustOpen(options_);
  ExpectSound();
}

TEST_F(StoreLimitsTest, MapGrows) {
  Open(OptionsFor(folder_ / "store"));
  const uint64_t before = store_->GetStatus()->map_bytes;
  EXPECT_EQ(before, 16 * kMiB);
  for (int i = 0; i < 70; i++) {
    ASSERT_TRUE(SaveTiny(4000).ok());
    saved_ += 4000;
  }
  const auto status = store_->GetStatus();
  EXPECT_EQ(status->map_bytes, 64 * kMiB);
  EXPECT_GT(status->index_bytes, 32 * kMiB);
  ExpectSound();
}

class FullDiskTest : public StoreLimitsTest, public ::testing::WithParamInterface<int> {};

TEST_P(FullDiskTest, SavesFailDeletionsWork) {
  Open(OptionsFor(folder_ / "store"));
  ASSERT_TRUE(SaveTiny(20000).ok());
  saved_ += 20000;
  small_disk.error = GetParam();
  small_disk.limited = true;
  small_disk.free_bytes = 6'000'000;
  const Status full = FillUp(50);
  EXPECT_EQ(full.code(), Code::kNoSpace) << full.message();
  EXPECT_GT(small_disk.refused, 0u);
  const std::string large = Noise(2'000'000, 1);
  EXPECT_EQ(Stage(*store_, large).status().code(), Code::kNoSpace);
  small_disk.free_bytes = 0;
  ExpectSound();
  // Scattered, so that every page must be written anew before any is free.
  std::vector<Change> scattered;
  for (uint32_t uid = 1; uid < 20000; uid += 50) {
    scattered.push_back(Expunge(uid, uid));
  }
  const auto result = store_->Apply(box_, scattered);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->expunged, scattered.size());
  saved_ -= result->expunged;
  ExpectSound();
  EXPECT_TRUE(store_->WantsMaintenance());
  ExpungeOk(1, static_cast<uint32_t>(saved_));
  small_disk.free_bytes += 1'000'000;
  for (int i = 0; i < 50; i++) {
    const auto more = store_->Maintain(1000ms);
    ASSERT_TRUE(more.ok()) << more.status().message();
    if (!*more) {
      break;
    }
  }
  EXPECT_TRUE(std::filesystem::exists(folder_ / "store/reserve")) << "the reserve is back";
  EXPECT_TRUE(SaveTiny(50).ok());
  saved_ += 50;
  ExpectSound();
}

INSTANTIATE_TEST_SUITE_P(Errors, FullDiskTest, ::testing::Values(ENOSPC, EDQUOT));

// What a delivery costs: the pack and the index's pages. Its meta page waits (storage/redo.h).
TEST_F(StoreLimitsTest, TwoFlushesADelivery) {
  StoreOptions options = OptionsFor(folder_ / "store");
  options.sync = true;
  Open(options);
  ASSERT_TRUE(SaveTiny(1).ok());  // starts a pack, whose name must be flushed too
  const uint64_t before = small_disk.flushes;
  for (int i = 0; i < 10; i++) {
    ASSERT_TRUE(SaveTiny(1).ok());
  }
  EXPECT_EQ(small_disk.flushes - before, 20u);
  // A batch costs no more; nor does a copy, which has no pack to flush, but a meta page.
  const uint64_t batch = small_disk.flushes;
  ASSERT_TRUE(SaveTiny(100).ok());
  EXPECT_EQ(small_disk.flushes - batch, 2u);
  NewMessage copy;
  copy.source_mailbox = box_;
  copy.source_uid = 1;
  const uint64_t copying = small_disk.flushes;
  ASSERT_TRUE(store_->Save(box_, 1, {&copy, 1}, {}).ok());
  EXPECT_EQ(small_disk.flushes - copying, 2u);
  // What changes nothing is committed all the same: see Store::Apply.
  const Change change = AddFlags(1, 1, 0x08);
  ASSERT_TRUE(store_->Apply(box_, {&change, 1}).ok());
  const uint64_t again = small_disk.flushes;
  ASSERT_TRUE(store_->Apply(box_, {&change, 1}).ok());
  EXPECT_EQ(small_disk.flushes - again, 2u);
}

TEST_F(StoreLimitsTest, NoFlushWhenSwitchedOff) {
  const uint64_t before = small_disk.flushes;
  Open(OptionsFor(folder_ / "store"));
  ASSERT_TRUE(SaveTiny(10).ok());
  ASSERT_TRUE(SaveText(*store_, box_, Noise(500000, 1)).ok());
  ExpungeOk(1, 5);
  ASSERT_TRUE(store_->Maintain(1000ms, true).ok());
  EXPECT_EQ(small_disk.flushes, before);
}

}  // namespace
}  // namespace lbox

// The journal: its frames as bytes, what transactions write to it, and what becomes of damage and
// of writes that fail.
#include "storage/journal.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "storage/store_impl.h"
#include "tests/unit/fault_env.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

namespace fs = std::filesystem;
using namespace lbox::testing;

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

JournalFrame SomeFrame() {
  JournalFrame frame{77, 70, MakeGuid(5), 0x01020304, {}};
  JournalRecord& record = frame.record;
  record.mailbox = MakeGuid(6);
  record.next_uid = 100;
  record.saved = 2;
  Change change;
  change.kind = Change::Kind::kKeywordAdd;
  change.uid1 = 3;
  change.uid2 = UINT32_MAX;
  change.add_flags = 1;
  change.remove_flags = 2;
  change.text = std::string("k\0\xff", 3);
  change.time = 1700000002;
  record.changes = {change};
  JournalCopy copy;
  copy.message.uid = 99;
  copy.message.body_id = uint64_t{1} << 40;
  copy.message.guid = MakeGuid(7);
  copy.message.received = -5;
  copy.message.saved = 1700000000;
  copy.message.flags = 0x1f;
  copy.message.cause = Cause::kCopy;
  copy.message.physical_size = 10;
  copy.message.virtual_size = 11;
  copy.keywords = {"a", "b"};
  copy.original_guid = "original";
  copy.pop3_uidl = "uidl";
  copy.pop3_order = 4;
  copy.source_mailbox = MakeGuid(8);
  copy.source_uid = 12;
  record.copies = {copy};
  record.state = JournalState{MakeGuid(9), std::string("a\0b", 3), 13, 14, uint64_t{1} << 50};
  record.removed = true;
  return frame;
}

TEST(JournalRecordTest, RoundTrip) {
  const JournalFrame in = SomeFrame();
  const auto bytes = EncodeJournalFrame(in);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->size() % kJournalAlignment, 0u);
  EXPECT_EQ(JournalFrameSpan(Bytes(*bytes)).value(), bytes->size());
  const auto out = DecodeJournalFrame(Bytes(*bytes));
  ASSERT_TRUE(out.ok()) << out.status().message();
  EXPECT_EQ(out->transaction, in.transaction);
  EXPECT_EQ(out->previous, in.previous);
  EXPECT_EQ(out->store, in.store);
  EXPECT_EQ(out->boot, in.boot);
  // All of it, since the bytes are the same again.
  EXPECT_EQ(EncodeJournalFrame(*out).value(), *bytes);
  EXPECT_EQ(out->record.changes.at(0).text, in.record.changes.at(0).text);
  EXPECT_EQ(out->record.copies.at(0).message.received, -5);
  EXPECT_EQ(out->record.state->name, in.record.state->name);
}

TEST(JournalRecordTest, EveryFlippedBitIsNoticed) {
  const std::string bytes = EncodeJournalFrame(SomeFrame()).value();
  size_t noticed = 0;
  for (size_t at = 0; at < bytes.size(); at++) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    const bool ok = DecodeJournalFrame(Bytes(changed)).ok();
    noticed += ok ? 0 : 1;
    // Only the padding is nobody's.
    EXPECT_TRUE(!ok || at + kJournalAlignment > bytes.size()) << at;
  }
  EXPECT_GT(noticed, bytes.size() - kJournalAlignment);
  for (size_t size = 0; size < bytes.size(); size++) {
    EXPECT_EQ(DecodeJournalFrame(Bytes(bytes.substr(0, size))).status().code(), Code::kCorruption);
  }
}

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = OptionsFor(folder_ / "store");
    options_.env = &env_;
    store_ = MustOpen(options_);
    ASSERT_NE(store_, nullptr);
    box_ = MustCreate(*store_, 1);
  }
  MetaRow Meta() {
    (void)store_->GetMailbox(box_);
    return StoreImpl::Of(*store_).index->last_meta();
  }
  std::vector<JournalFrame> Frames(uint64_t* skipped = nullptr, uint32_t number = 1) {
    std::vector<JournalFrame> frames;
    uint64_t bytes = 0;
    const Status status =
        ReadJournal(env_, JournalPath(options_.path, number), StoreImpl::Of(*store_).index->uuid(),
                    bytes, [&](JournalFrame frame) -> Status {
                      frames.push_back(std::move(frame));
                      return {};
                    });
    EXPECT_TRUE(status.ok()) << status.message();
    if (skipped != nullptr) {
      *skipped = bytes;
    }
    return frames;
  }
  void Copy(uint32_t uid) {
    NewMessage copy;
    copy.source_mailbox = box_;
    copy.source_uid = uid;
    copy.keywords = {"later"};
    const auto result = store_->Save(box_, 1, {&copy, 1}, {});
    ASSERT_TRUE(result.ok()) << result.status().message();
  }

  TempFolder folder_;
  FaultEnv env_;
  StoreOptions options_;
  std::shared_ptr<Store> store_;
  Guid box_;
};

TEST_F(JournalTest, TellsWhatPacksDoNot) {
  ASSERT_EQ(Frames().size(), 1u) << "the mailbox was created";
  EXPECT_EQ(Frames()[0].record.state->name, "Box1");
  for (int i = 0; i < 10; i++) {
    ASSERT_TRUE(SaveText(*store_, box_, Noise(500, static_cast<uint64_t>(i)), {"x"}).ok());
  }
  EXPECT_EQ(Frames().size(), 1u) << "plain saves are in packs";
  Copy(3);
  const Change seen = AddFlags(1, UINT32_MAX, 8);
  const Change none = AddFlags(50, 60, 8);
  const std::vector<Change> changes{seen, none, Expunge(2, 4)};
  ASSERT_TRUE(store_->Apply(box_, changes).ok());
  ASSERT_TRUE(store_->Apply(box_, {&seen, 1}).ok());
  MailboxUpdate update;
  update.name = "Other";
  ASSERT_TRUE(store_->UpdateMailbox(box_, update).ok());
  ASSERT_TRUE(store_->UpdateMailbox(box_, update).ok());
  ASSERT_TRUE(store_->DeleteMailbox(box_).ok());
  const auto frames = Frames();
  ASSERT_EQ(frames.size(), 5u) << "what changes nothing is not told";
  EXPECT_EQ(frames[1].record.copies.at(0).source_uid, 3u);
  EXPECT_EQ(frames[1].record.next_uid, 12u);
  ASSERT_EQ(frames[2].record.changes.size(), 2u);
  EXPECT_EQ(frames[2].record.changes[1].kind, Change::Kind::kExpunge);
  EXPECT_EQ(frames[3].record.state->name, "Other");
  EXPECT_TRUE(frames[4].record.removed);
  for (size_t i = 1; i < frames.size(); i++) {
    EXPECT_EQ(frames[i].previous, frames[i - 1].transaction);
    EXPECT_EQ(frames[i].boot, BootOf(env_));
  }
  EXPECT_NE(frames[1].boot, 0u);
}

TEST_F(JournalTest, LongChangesArePieces) {
  std::vector<NewMessage> messages(kBatchRows + 10);
  auto body = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
  for (NewMessage& message : messages) {
    message.staged = body.get();
  }
  ASSERT_TRUE(store_->Save(box_, 1, messages, {}).ok());
  const Change all = AddFlags(1, UINT32_MAX, 1);
  ASSERT_TRUE(store_->Apply(box_, {&all, 1}).ok());
  const auto frames = Frames();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[1].record.changes.at(0).uid2, kBatchRows);
  EXPECT_EQ(frames[2].record.changes.at(0).uid1, kBatchRows + 1);
}

TEST_F(JournalTest, GarbageBehindTheTailIsWrittenOver) {
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\n").ok());
  const std::string before = ReadFile(JournalPath(options_.path, 1));
  std::string bytes = before + std::string(300, 'g');
  WriteFile(JournalPath(options_.path, 1), bytes);
  Copy(1);
  EXPECT_EQ(Frames().size(), 2u);
  bytes = ReadFile(JournalPath(options_.path, 1));
  EXPECT_EQ(Meta().journal_tail,
            before.size() + JournalFrameSpan(Bytes(bytes.substr(before.size()))).value());
}

TEST_F(JournalTest, DamageHidesOneFrame) {
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\n").ok());
  const auto begin = fs::file_size(JournalPath(options_.path, 1));
  Copy(1);
  const auto end = fs::file_size(JournalPath(options_.path, 1));
  Copy(1);
  std::string bytes = ReadFile(JournalPath(options_.path, 1));
  bytes[begin + 20] = static_cast<char>(bytes[begin + 20] ^ 1);
  WriteFile(JournalPath(options_.path, 1), bytes);
  uint64_t skipped = 0;
  const auto frames = Frames(&skipped);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(skipped, end - begin);
  EXPECT_NE(frames[1].previous, frames[0].transaction);
}

TEST_F(JournalTest, AFullDiskDefersSavesAndNotDeletions) {
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\n").ok());
  env_.before = [](const std::string& call, const std::string& path) {
    return call == "write" && path.find("/journal.") != std::string::npos
               ? Status(Code::kNoSpace, "full")
               : Status();
  };
  NewMessage copy;
  copy.source_mailbox = box_;
  copy.source_uid = 1;
  EXPECT_EQ(store_->Save(box_, 1, {&copy, 1}, {}).status().code(), Code::kNoSpace);
  const Change expunge = Expunge(1, 1);
  ASSERT_TRUE(store_->Apply(box_, {&expunge, 1}).ok());
  env_.before = {};
  EXPECT_EQ(Frames().size(), 1u);
  EXPECT_EQ(Meta().journaled, Meta().transaction) << "it should be in the journal";
  EXPECT_TRUE(store_->WantsMaintenance()) << "an index copy makes up for it";
  ASSERT_TRUE(store_->Maintain(std::chrono::seconds(1)).ok());
  EXPECT_TRUE(fs::exists(options_.path + "/index.copy"));
  EXPECT_FALSE(store_->WantsMaintenance());
}

TEST_F(JournalTest, AFailingDiskFailsTheTransaction) {
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\n").ok());
  env_.before = [](const std::string& call, const std::string& path) {
    return call == "write" && path.find("/journal.") != std::string::npos ? Status(Code::kIo, "no")
                                                                          : Status();
  };
  const Change expunge = Expunge(1, 1);
  EXPECT_EQ(store_->Apply(box_, {&expunge, 1}).status().code(), Code::kIo);
  env_.before = {};
  EXPECT_EQ(store_->GetMailbox(box_)->messages, 1u);
  ASSERT_TRUE(store_->Apply(box_, {&expunge, 1}).ok());
}

TEST_F(JournalTest, AMissingFileIsBegunAgain) {
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\n").ok());
  store_.reset();
  fs::remove(JournalPath(options_.path, 1));
  store_ = MustOpen(options_);
  Copy(1);
  EXPECT_EQ(Frames().size(), 1u);
}

}  // namespace
}  // namespace lbox

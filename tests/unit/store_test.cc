// The store's calls, one after the other, on one store.
#include "storage/store.h"

#include <gtest/gtest.h>

#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = MustOpen(OptionsFor(folder_ / "store"));
    ASSERT_NE(store_, nullptr);
    box_ = MustCreate(*store_, 1);
  }
  void Reopen() {
    store_.reset();
    store_ = MustOpen(OptionsFor(folder_ / "store"));
    ASSERT_NE(store_, nullptr);
  }
  std::vector<uint32_t> Uids(const Guid& mailbox, uint32_t first = 1, uint32_t last = UINT32_MAX) {
    std::vector<uint32_t> uids;
    const Status status =
        store_->Scan(mailbox, first, last, [&](const Message& message, const MessageExtra*) {
          uids.push_back(message.uid);
          return true;
        });
    EXPECT_TRUE(status.ok()) << status.message();
    return uids;
  }

  TempFolder folder_;
  std::shared_ptr<Store> store_;
  Guid box_;
};

TEST_F(StoreTest, SavedMessageComesBackByteForByte) {
  const std::string text = "Subject: hello\r\nFrom: a@example.org\r\n\r\nA body.\r\n";
  const auto uid = SaveText(*store_, box_, text);
  ASSERT_TRUE(uid.ok()) << uid.status().message();
  EXPECT_EQ(*uid, 1u);
  EXPECT_EQ(LoadText(*store_, box_, *uid).value(), text);
  Reopen();
  EXPECT_EQ(LoadText(*store_, box_, *uid).value(), text);
  const auto message = store_->Lookup(box_, *uid);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->physical_size, text.size());
  EXPECT_EQ(message->received, 1700000000);
  EXPECT_EQ(message->guid, MakeGuid(std::hash<std::string>()(text)));
}

TEST_F(StoreTest, BodiesOfAllSizes) {
  std::vector<std::string> texts;
  for (size_t size : {0u, 1u, 100u, 5000u, 40000u, 130000u, 140000u, 300000u, 2000000u}) {
    texts.push_back(size < 18 ? std::string(size, 'x') : Noise(size, size));
    const auto uid = SaveText(*store_, box_, texts.back());
    ASSERT_TRUE(uid.ok()) << uid.status().message();
    EXPECT_EQ(*uid, texts.size());
  }
  Reopen();
  for (uint32_t uid = 1; uid <= texts.size(); uid++) {
    const auto text = LoadText(*store_, box_, uid);
    ASSERT_TRUE(text.ok()) << text.status().message();
    EXPECT_TRUE(*text == texts[uid - 1]) << uid;
  }
  EXPECT_EQ(Names(folder_ / "store/l").size(), 2u);
  EXPECT_TRUE(Names(folder_ / "store/tmp").empty());
}

TEST_F(StoreTest, ExpungeFreesLargeFileAtOnce) {
  ASSERT_TRUE(SaveText(*store_, box_, Noise(500000, 1)).ok());
  ASSERT_EQ(Names(folder_ / "store/l").size(), 1u);
  const Change change = Expunge(1, 1);
  const auto result = store_->Apply(box_, {&change, 1});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->expunged, 1u);
  EXPECT_TRUE(Names(folder_ / "store/l").empty());
  EXPECT_EQ(store_->Lookup(box_, 1).status().code(), Code::kNotFound);
  EXPECT_EQ(store_->OpenBody(box_, 1).status().code(), Code::kNotFound);
}

TEST_F(StoreTest, FlagsAndKeywords) {
  for (int i = 0; i < 100; i++) {
    ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\n" + std::to_string(i), {"$Junk"}).ok());
  }
  std::vector<Change> changes{AddFlags(10, 20, 0x08)};
  for (int i = 0; i < 40; i++) {
    Change change;
    change.kind = Change::Kind::kKeywordAdd;
    change.uid1 = 15;
    change.uid2 = 16;
    change.text = "kw" + std::to_string(i);
    changes.push_back(change);
  }
  ASSERT_TRUE(store_->Apply(box_, changes).ok());
  EXPECT_EQ(store_->Lookup(box_, 9)->flags, 0);
  EXPECT_EQ(store_->Lookup(box_, 10)->flags, 0x08);
  EXPECT_EQ(store_->Lookup(box_, 20)->flags, 0x08);
  const auto info = store_->GetMailbox(box_);
  ASSERT_EQ(info->keywords.size(), 41u);
  EXPECT_EQ(info->keywords[0], "$Junk");
  EXPECT_EQ(store_->Lookup(box_, 15)->keyword_bits, 0xffffffffu);
  EXPECT_EQ(store_->LookupExtra(box_, 15)->keywords.size(), 9u);
  // Once more: nothing changes, not even the counter.
  const auto again = store_->Apply(box_, changes);
  EXPECT_EQ(again->change, info->change);
}

TEST_F(StoreTest, CopySharesTheBody) {
  const Guid other = MustCreate(*store_, 2);
  const std::string text = Noise(300000, 7);
  ASSERT_TRUE(SaveText(*store_, box_, text).ok());
  NewMessage copy;
  copy.source_mailbox = box_;
  copy.source_uid = 1;
  copy.guid = MakeGuid(99);
  ASSERT_TRUE(store_->Save(other, 1, {&copy, 1}, {}).ok());
  EXPECT_EQ(Names(folder_ / "store/l").size(), 1u);
  ASSERT_TRUE(store_->DeleteMailbox(box_).ok());
  EXPECT_EQ(store_->GetMailbox(box_).status().code(), Code::kNotFound);
  EXPECT_TRUE(LoadText(*store_, other, copy.uid).value() == text);
  ASSERT_TRUE(store_->DeleteMailbox(other).ok());
  EXPECT_TRUE(Names(folder_ / "store/l").empty());
  const auto status = store_->GetStatus();
  EXPECT_EQ(status->messages, 0u);
  EXPECT_EQ(status->stored_bytes, 0u);
  EXPECT_EQ(status->mailboxes, 0u);
}

TEST_F(StoreTest, OneStorePerProcess) {
  const auto second = MustOpen(OptionsFor(folder_ / "store/"));
  EXPECT_EQ(second, store_);
}

}  // namespace
}  // namespace lbox

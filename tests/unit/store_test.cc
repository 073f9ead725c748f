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

TEST_F(StoreTest, SavesOnlyWhenTheMailboxIsAsExpected) {
  ASSERT_TRUE(SaveText(*store_, box_, Noise(200'000, 1)).ok());
  const uint64_t change = store_->GetMailbox(box_)->change;
  ASSERT_TRUE(SaveText(*store_, box_, "between").ok());

  const auto staged = Stage(*store_, Noise(200'000, 2));  // large: in a file
  ASSERT_TRUE(staged.ok());
  NewMessage message;
  message.staged = staged->get();
  const Change removal = Expunge(1, 1);
  EXPECT_EQ(store_->Save(box_, 1, {&message, 1}, {&removal, 1}, change).status().code(),
            Code::kAborted);
  EXPECT_EQ(Uids(box_), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(store_->GetMailbox(box_)->change, change + 1);

  const auto saved = store_->Save(box_, 1, {&message, 1}, {&removal, 1}, change + 1);
  ASSERT_TRUE(saved.ok()) << saved.status().message();
  EXPECT_EQ(Uids(box_), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(LoadText(*store_, box_, 3).value(), Noise(200'000, 2));
}

TEST_F(StoreTest, ApplyTellsWhatItBeganWith) {
  ASSERT_TRUE(SaveText(*store_, box_, "one").ok());
  const uint64_t change = store_->GetMailbox(box_)->change;
  const Change flags = AddFlags(1, 1, 8);
  const auto applied = store_->Apply(box_, {&flags, 1});
  ASSERT_TRUE(applied.ok());
  EXPECT_EQ(applied->before, change);
  EXPECT_EQ(applied->change, change + 1);
}

TEST_F(StoreTest, RenumberedMessagesAreThereOnce) {
  for (const size_t size : {100u, 200'000u, 300u}) {
    ASSERT_TRUE(SaveText(*store_, box_, Noise(size, size)).ok());
  }
  const Message before = *store_->Lookup(box_, 2);
  std::vector<NewMessage> messages(2);
  for (uint32_t i = 0; i < 2; i++) {
    messages[i].source_mailbox = box_;
    messages[i].source_uid = i + 1;
    messages[i].guid = store_->Lookup(box_, i + 1)->guid;
  }
  const auto status = store_->GetStatus();
  ASSERT_TRUE(store_->Renumber(box_, 10, messages).ok());
  EXPECT_EQ(messages[1].uid, 11u);
  EXPECT_EQ(Uids(box_), (std::vector<uint32_t>{3, 10, 11}));
  EXPECT_EQ(LoadText(*store_, box_, 11).value(), Noise(200'000, 200'000));
  EXPECT_EQ(store_->Lookup(box_, 11)->guid, before.guid);
  EXPECT_EQ(store_->GetStatus()->stored_bytes, status->stored_bytes);
  EXPECT_EQ(*store_->References(box_, 11), 1u);

  messages[0].source_mailbox = MustCreate(*store_, 2);
  EXPECT_EQ(store_->Renumber(box_, 1, messages).status().code(), Code::kInvalid);
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

// No index mirrors it: the change counter stays, and nobody reconciles.
TEST_F(StoreTest, RetrievedIsTheFirstTime) {
  ASSERT_TRUE(SaveText(*store_, box_, "a").ok());
  ASSERT_TRUE(SaveText(*store_, box_, "b").ok());
  const uint64_t before = store_->GetMailbox(box_)->change;
  Change change;
  change.kind = Change::Kind::kRetrieved;
  change.uid1 = change.uid2 = 1;
  change.time = 1700000100;
  ASSERT_TRUE(store_->Apply(box_, {&change, 1}).ok());
  change.uid2 = 9;
  change.time = 1700000200;
  const auto applied = store_->Apply(box_, {&change, 1});
  ASSERT_TRUE(applied.ok()) << applied.status().message();
  EXPECT_EQ(applied->change, before);
  EXPECT_EQ(store_->Lookup(box_, 1)->retrieved, 1700000100u);
  EXPECT_EQ(store_->Lookup(box_, 2)->retrieved, 1700000200u);
  NewMessage copy;
  copy.source_mailbox = box_;
  copy.source_uid = 1;
  ASSERT_TRUE(store_->Save(box_, 1, {&copy, 1}, {}).ok());
  EXPECT_EQ(store_->Lookup(box_, copy.uid)->retrieved, 0u) << "a copy has not been fetched";
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

// What a usage report consists of: exact, ordered, and of this store.
TEST_F(StoreTest, TotalsFollowEveryTransaction) {
  const Guid other = MustCreate(*store_, 2);
  const auto empty = store_->GetTotals();
  ASSERT_TRUE(empty.ok()) << empty.status().message();
  EXPECT_EQ(empty->messages, 0u);
  EXPECT_EQ(empty->uuid, store_->GetStatus()->uuid);
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: x\r\n\r\nbody\r\n").ok());
  ASSERT_TRUE(SaveText(*store_, other, Noise(300000, 1)).ok());
  const auto two = store_->GetTotals();
  const uint64_t sum =
      store_->GetMailbox(box_)->virtual_bytes + store_->GetMailbox(other)->virtual_bytes;
  EXPECT_EQ(two->messages, 2u);
  EXPECT_EQ(two->virtual_bytes, sum);
  EXPECT_GT(two->disk_bytes, 0u);
  EXPECT_GT(two->transaction, empty->transaction);
  ASSERT_TRUE(store_->DeleteMailbox(other).ok());
  const auto one = store_->GetTotals();
  EXPECT_EQ(one->messages, 1u);
  EXPECT_EQ(one->virtual_bytes, store_->GetMailbox(box_)->virtual_bytes);
  EXPECT_GT(one->transaction, two->transaction);
  Reopen();
  EXPECT_EQ(store_->GetTotals()->transaction, one->transaction);
  EXPECT_EQ(store_->GetTotals()->uuid, one->uuid);
}

// More than memory or one pack takes: staged to a file, and spread over packs, in one transaction.
TEST_F(StoreTest, BatchLargerThanAPack) {
  std::vector<std::unique_ptr<StagedBody>> bodies;
  std::vector<NewMessage> messages(600);
  for (size_t i = 0; i < messages.size(); i++) {
    bodies.push_back(std::move(Stage(*store_, Noise(60000, i)).value()));
    messages[i].staged = bodies.back().get();
  }
  ASSERT_TRUE(store_->Save(box_, 1, messages, {}).ok());
  bodies.clear();
  EXPECT_EQ(Names(folder_ / "store/p").size(), 2u);
  Reopen();
  for (uint32_t uid = 1; uid <= messages.size(); uid += 7) {
    EXPECT_TRUE(LoadText(*store_, box_, uid).value() == Noise(60000, uid - 1)) << uid;
  }
}

TEST_F(StoreTest, UidsAreAssignedAsDovecotDoes) {
  const auto body = Stage(*store_, "Subject: x\r\n\r\n");
  const auto save = [&](uint32_t min_uid, std::vector<uint32_t> wanted) -> std::vector<uint32_t> {
    std::vector<NewMessage> messages(wanted.size());
    for (size_t i = 0; i < wanted.size(); i++) {
      messages[i].staged = body->get();
      messages[i].wanted_uid = wanted[i];
    }
    const auto result = store_->Save(box_, min_uid, messages, {});
    EXPECT_TRUE(result.ok()) << result.status().message();
    std::vector<uint32_t> uids;
    for (const NewMessage& message : messages) {
      uids.push_back(message.uid);
    }
    return uids;
  };
  using List = std::vector<uint32_t>;
  EXPECT_EQ(save(1, {0, 0}), (List{1, 2}));
  EXPECT_EQ(save(10, {0}), (List{10}));
  EXPECT_EQ(save(1, {0, 20, 0}), (List{21, 20, 22}));
  EXPECT_EQ(save(1, {5, 0}), (List{23, 24})) << "a UID that is too low is not kept";
  EXPECT_EQ(save(1, {40, 30, 0}), (List{40, 30, 41}));
  EXPECT_EQ(store_->GetMailbox(box_)->next_uid, 42u);
  NewMessage twice[2];
  twice[0].staged = twice[1].staged = body->get();
  twice[0].wanted_uid = twice[1].wanted_uid = 50;
  EXPECT_EQ(store_->Save(box_, 1, twice, {}).status().code(), Code::kInvalid);
  twice[0].wanted_uid = UINT32_MAX;
  twice[1].wanted_uid = 0;
  EXPECT_EQ(store_->Save(box_, 1, twice, {}).status().code(), Code::kInvalid);
  EXPECT_EQ(store_->GetMailbox(box_)->next_uid, 42u);
  EXPECT_EQ(Uids(box_).size(), 11u);
}

TEST_F(StoreTest, WrongCallsAreRefused) {
  NewMessage neither;
  EXPECT_EQ(store_->Save(box_, 1, {&neither, 1}, {}).status().code(), Code::kInvalid);
  EXPECT_EQ(store_->Save(MakeGuid(77), 1, {}, {}).status().code(), Code::kNotFound);
  EXPECT_EQ(store_->Apply(MakeGuid(77), {}).status().code(), Code::kNotFound);
  EXPECT_EQ(store_->Lookup(box_, 1).status().code(), Code::kNotFound);
  EXPECT_EQ(store_->DeleteMailbox(MakeGuid(77)).code(), Code::kNotFound);
  MailboxUpdate update;
  update.guid = box_;
  const Guid other = MustCreate(*store_, 2);
  EXPECT_EQ(store_->UpdateMailbox(other, update).code(), Code::kInvalid);
  MailboxCreate create;
  create.guid = MakeGuid(5);
  EXPECT_EQ(store_->CreateMailbox(create).code(), Code::kInvalid) << "no UIDVALIDITY";
}

TEST_F(StoreTest, MailboxValuesOnlyRise) {
  MailboxUpdate update;
  update.min_next_uid = 10;
  update.min_first_recent_uid = 5;
  update.min_modseq_ceiling = 1000;
  update.guid = MakeGuid(9);
  update.uid_validity = 4711;
  ASSERT_TRUE(store_->UpdateMailbox(box_, update).ok());
  EXPECT_EQ(store_->GetMailbox(box_).status().code(), Code::kNotFound);
  update = {};
  update.min_next_uid = 3;
  update.min_modseq_ceiling = 7;
  ASSERT_TRUE(store_->UpdateMailbox(MakeGuid(9), update).ok());
  const auto info = store_->GetMailbox(MakeGuid(9));
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->next_uid, 10u);
  EXPECT_EQ(info->first_recent_uid, 5u);
  EXPECT_EQ(info->modseq_ceiling, 1000u);
  EXPECT_EQ(info->uid_validity, 4711u);
  EXPECT_EQ(info->change, 2u);
}

TEST_F(StoreTest, OneStorePerProcess) {
  const auto second = MustOpen(OptionsFor(folder_ / "store/"));
  EXPECT_EQ(second, store_);
}

}  // namespace
}  // namespace lbox

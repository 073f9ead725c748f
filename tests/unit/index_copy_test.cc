// The copy of the index: what it holds, that damage is noticed, when it is taken and what it costs.
#include "storage/index_copy.h"

#include <ctime>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>

#include "storage/index_copy_upkeep.h"
#include "storage/journal.h"
#include "storage/store_impl.h"
#include "tests/unit/fault_env.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

namespace fs = std::filesystem;
using namespace lbox::testing;
using namespace std::chrono_literals;

constexpr uint64_t kNow = 1'800'000'000;

MetaRow MetaOf(uint64_t messages, uint32_t changed, uint32_t tail) {
  MetaRow meta;
  meta.journal = 1;
  meta.messages = messages;
  meta.changed = changed;
  meta.journal_tail = tail;
  meta.copied_at = static_cast<uint32_t>(kNow) - 10;
  meta.boot = 7;
  return meta;
}

TEST(CopyDueTest, Rules) {
  const struct {
    const char* what;
    uint64_t messages;
    uint32_t changed, tail, age;
    uint32_t boot;
    bool always, due;
  } cases[] = {
      {"nothing happened", 1000, 0, 0, 999999, 8, true, false},
      {"one change", 10, 1, 100, 10, 7, false, false},
      {"one change, asked", 10, 1, 100, 10, 7, true, true},
      {"one change, a day", 10, 1, 100, kCopySeconds, 7, false, true},
      {"many changes", 10000, 1000, 100, 10, 7, false, true},
      {"many, not one in ten", 10001 + 9, 1000, 100, 10, 7, false, false},
      {"one in ten, not many", 9990, 999, 100, 10, 7, false, false},
      {"long journal", 10, 1, kJournalBytes, 10, 7, false, true},
      {"long journal of a large store", 1000000, 1, kJournalBytes, 10, 7, false, false},
      {"another boot", 10, 1, 100, 10, 8, false, true},
      {"another boot, empty journal", 10, 1, 0, 10, 8, false, false},
      {"boot unknown", 10, 1, 100, 10, 0, false, false},
  };
  for (const auto& c : cases) {
    MetaRow meta = MetaOf(c.messages, c.changed, c.tail);
    meta.copied_at = static_cast<uint32_t>(kNow) - c.age;
    EXPECT_EQ(CopyDue(meta, kNow, c.boot, c.always), c.due) << c.what;
  }
}

class IndexCopyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = OptionsFor(folder_ / "store");
    options_.env = &env_;
    store_ = MustOpen(options_);
    ASSERT_NE(store_, nullptr);
    box_ = MustCreate(*store_, 1);
    body_ = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
  }
  void Save(uint32_t count, uint32_t each = 1) {
    for (uint32_t i = 0; i < count; i++) {
      std::vector<NewMessage> messages(each);
      for (NewMessage& message : messages) {
        message.staged = body_.get();
        message.guid = MakeGuid(++serial_);
        message.keywords = {"some"};
      }
      ASSERT_TRUE(store_->Save(box_, 1, messages, {}).ok());
    }
  }
  void Maintain(bool exhaustive = false) {
    body_.reset();
    const auto more = store_->Maintain(1000ms, exhaustive);
    ASSERT_TRUE(more.ok()) << more.status().message();
    body_ = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
  }
  std::map<CopyTable, uint64_t> Rows() {
    std::map<CopyTable, uint64_t> rows;
    info_ = ReadIndexCopy(env_, path_, [&](CopyTable table, auto, auto) -> Status {
      rows[table]++;
      return {};
    });
    return rows;
  }

  TempFolder folder_;
  FaultEnv env_;
  StoreOptions options_;
  const std::string path_ = folder_ / "store/index.copy";
  std::shared_ptr<Store> store_;
  std::unique_ptr<StagedBody> body_;
  Result<IndexCopyInfo> info_ = IndexCopyInfo();
  Guid box_;
  uint64_t serial_ = 0;
};

TEST_F(IndexCopyTest, HoldsAllRows) {
  Save(10, 3000);
  Maintain();
  const auto rows = Rows();
  ASSERT_TRUE(info_.ok()) << info_.status().message();
  EXPECT_EQ(rows.at(CopyTable::kMessage), 30000u);
  EXPECT_EQ(rows.at(CopyTable::kBody), 30000u);
  EXPECT_EQ(rows.at(CopyTable::kMailbox), 1u);
  EXPECT_EQ(rows.at(CopyTable::kMeta), 1u);
  EXPECT_EQ(info_->store, StoreImpl::Of(*store_).index->uuid());
  EXPECT_LT(fs::file_size(path_), 30000u * 90);
}

TEST_F(IndexCopyTest, EveryFlippedByteIsNoticed) {
  Save(5);
  Maintain(true);
  const std::string good = ReadFile(path_);
  (void)Rows();
  ASSERT_TRUE(info_.ok());
  size_t padding = 0;
  for (size_t at = 0; at < good.size(); at++) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    WriteFile(path_, bad);
    (void)Rows();
    if (info_.ok()) {
      padding++;
      EXPECT_EQ(good[at], '\0') << at;
    }
  }
  EXPECT_LT(padding, 7u * 7);
  for (size_t size = 0; size < good.size(); size += 7) {
    WriteFile(path_, good.substr(0, size));
    (void)Rows();
    EXPECT_FALSE(info_.ok()) << size;
  }
}

TEST_F(IndexCopyTest, BeginsANewJournal) {
  Save(3);
  Maintain(true);
  EXPECT_EQ(ListJournals(env_, options_.path).value(), std::vector<uint32_t>{2});
  const uint64_t copied = StoreImpl::Of(*store_).index->last_meta().copied;
  (void)Rows();
  EXPECT_EQ(info_->transaction, copied);
  Maintain(true);
  EXPECT_EQ(ListJournals(env_, options_.path).value(), std::vector<uint32_t>{2}) << "no change";
  const Change flags = AddFlags(1, 3, 1);
  ASSERT_TRUE(store_->Apply(box_, {&flags, 1}).ok());
  EXPECT_FALSE(store_->WantsMaintenance());
  Maintain(true);
  EXPECT_EQ(ListJournals(env_, options_.path).value(), std::vector<uint32_t>{3});
}

// What is damaged must not take the place of what is good.
TEST_F(IndexCopyTest, IsNotTakenOfADamagedIndex) {
  Save(3);
  Maintain(true);
  const std::string good = ReadFile(path_);
  Save(1);
  ASSERT_TRUE(StoreImpl::Of(*store_)
                  .Write(Purpose::kSave,
                         [&](Txn& txn) -> Status {
                           const std::string bad(100, 'x');
                           uint8_t name[8] = {0, 0, 0, 1, 0, 0, 0, 1};
                           MDB_val key{sizeof(name), name};
                           MDB_val value{bad.size(), const_cast<char*>(bad.data())};
                           const int rc = mdb_put(txn.raw(), txn.tables().extra, &key, &value, 0);
                           return rc == 0 ? Status() : Status(Code::kIo, "put");
                         })
                  .ok());
  body_.reset();
  EXPECT_EQ(store_->Maintain(1000ms, true).status().code(), Code::kCorruption);
  EXPECT_TRUE(ReadFile(path_) == good);
}

// The journal is bounded, whatever is done to few messages.
TEST_F(IndexCopyTest, JournalStaysShort) {
  Save(1, 20);
  uint64_t longest = 0;
  for (uint32_t i = 0; i < 8000; i++) {
    Change flags = AddFlags(1, 20, static_cast<uint8_t>(i % 31 + 1));
    flags.remove_flags = static_cast<uint8_t>(~flags.add_flags & 0x1f);
    ASSERT_TRUE(store_->Apply(box_, {&flags, 1}).ok());
    uint64_t bytes = 0;
    if (store_->WantsMaintenance()) {
      Maintain();
      EXPECT_FALSE(store_->WantsMaintenance());
    }
    const std::vector<uint32_t> journals = ListJournals(env_, options_.path).value();
    for (const uint32_t number : journals) {
      bytes += fs::file_size(JournalPath(options_.path, number));
    }
    longest = std::max(longest, bytes);
  }
  EXPECT_LT(longest, kJournalBytes + 4096);
}

// Deliveries one by one: what copies add to their flushes.
TEST_F(IndexCopyTest, CostsLittle) {
  body_.reset();
  store_.reset();
  options_.sync = true;
  store_ = MustOpen(options_);
  body_ = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
  constexpr uint32_t kDeliveries = 3000;
  const uint64_t before = env_.syncs + env_.directory_syncs;
  uint64_t maintained = 0;
  std::chrono::steady_clock::duration spent{};
  for (uint32_t i = 0; i < kDeliveries; i++) {
    Save(1);
    if (store_->WantsMaintenance()) {
      const uint64_t flushes = env_.syncs + env_.directory_syncs;
      const auto start = std::chrono::steady_clock::now();
      Maintain();
      spent += std::chrono::steady_clock::now() - start;
      maintained += env_.syncs + env_.directory_syncs - flushes;
    }
  }
  const uint64_t all = env_.syncs + env_.directory_syncs - before;
  EXPECT_TRUE(fs::exists(path_));
  // LMDB's own flushes, two a transaction, are not among these.
  EXPECT_EQ(all - maintained, kDeliveries + 1);
  EXPECT_LE(maintained, kDeliveries / kCopyRows * 3);
  printf("%u deliveries: %llu flushes for copies beside LMDB's, %.3f ms each\n", kDeliveries,
         static_cast<unsigned long long>(maintained),
         std::chrono::duration<double, std::milli>(spent).count() / (kDeliveries / kCopyRows));
}

// What a copy of a store of 200,000 messages takes; CopyTime must not promise less.
TEST_F(IndexCopyTest, TimeOfALargeStore) {
  Save(40, 5000);
  const MetaRow meta = StoreImpl::Of(*store_).index->last_meta();
  const clock_t cpu = clock();
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(TakeIndexCopy(StoreImpl::Of(*store_)).ok());
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  printf("%llu messages: %lld ms (%ld ms of CPU), %.1f bytes each; promised %lld ms\n",
         static_cast<unsigned long long>(meta.messages), static_cast<long long>(spent.count()),
         (clock() - cpu) / (CLOCKS_PER_SEC / 1000),
         static_cast<double>(fs::file_size(path_)) / static_cast<double>(meta.messages),
         static_cast<long long>(CopyTime(meta).count()));
  EXPECT_FALSE(store_->WantsMaintenance());
}

}  // namespace
}  // namespace lbox

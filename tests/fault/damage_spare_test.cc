// Damage to what a rebuild would begin with, files that are nobody's, and LMDB's headers.
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "storage/repair.h"
#include "storage/verify.h"
#include "tests/fault/damage_store.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class DamageSpareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    messages_ = MakeDamageStore(path_, 1);
    const auto store = MustOpen(options_);
    ASSERT_NE(store, nullptr);
    ASSERT_TRUE(store->Maintain(10s, true).ok());  // takes an index copy
    const Change change = AddFlags(1, 3, 8);
    ASSERT_TRUE(store->Apply(messages_[0].mailbox, {&change, 1}).ok());  // begins the journal
  }
  void Keep() { files_ = Load(path_); }

  std::vector<Finding> Verify(bool spare, bool orphans) const {
    VerifyOptions options;
    options.store = options_;
    options.check.spare = spare;
    options.check.orphans = orphans;
    const auto report = VerifyStore(options);
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? report->findings : std::vector<Finding>();
  }

  void ExpectSpare(const std::string& name) {
    const auto found = Verify(true, true);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].damage, Damage::kSpare);
    EXPECT_NE(found[0].text.find(name), std::string::npos) << found[0].text;
    EXPECT_TRUE(Verify(false, false).empty()) << "no mail is concerned";
  }

  void ExpectRepaired() {
    RepairReport report;
    const Status status = RepairStore({.store = options_}, &report);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(report.damaged && !report.rebuilt);
    EXPECT_EQ(report.lost, 0u);
    EXPECT_TRUE(Verify(true, true).empty());
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "store";
  const StoreOptions options_ = OptionsFor(path_);
  std::vector<Expected> messages_;
  Files files_;
};

TEST_F(DamageSpareTest, IndexCopyAndJournal) {
  EXPECT_TRUE(Verify(true, true).empty());
  Keep();
  size_t tried = 0, padding = 0;
  for (const auto& [name, bytes] : files_) {
    if (name != "index.copy" && !name.starts_with("journal.")) {
      continue;
    }
    for (size_t at = 0; at < bytes.size() && !HasFailure(); at += Stride(bytes.size() / 12 + 1)) {
      SCOPED_TRACE(name + " at " + std::to_string(at));
      Restore(path_, files_);
      Poke(path_ + "/" + name, at, static_cast<char>(bytes[at] ^ 0x40));
      tried++;
      if (Verify(true, true).empty()) {
        padding++;  // up to seven bytes behind each block
      } else {
        ExpectSpare(name);
      }
    }
    Restore(path_, files_);
    fs::resize_file(path_ + "/" + name, bytes.size() - 8);
    ExpectSpare(name);
    ExpectRepaired();
    Restore(path_, files_);
    fs::remove(path_ + "/" + name);
    ExpectSpare(name);
    ExpectRepaired();
  }
  EXPECT_GT(tried, 20u);
  EXPECT_LT(padding, tried / 4);
}

TEST_F(DamageSpareTest, Orphans) {
  WriteFile(path_ + "/p/0000ffff", "x");
  WriteFile(path_ + "/l/00000000000000ff", "yy");
  WriteFile(path_ + "/l/README", "no id");
  const auto found = Verify(true, true);
  ASSERT_EQ(found.size(), 2u);
  for (const Finding& finding : found) {
    EXPECT_EQ(finding.damage, Damage::kOrphan) << finding.text;
  }
  EXPECT_TRUE(Verify(true, false).empty());
  ASSERT_TRUE(MustOpen(options_)->Maintain(10s, true).ok());
  EXPECT_TRUE(Verify(true, true).empty());
}

// Whoever is saving has files that no row names yet.
TEST_F(DamageSpareTest, FilesOfSavesAreNoOrphans) {
  const auto store = MustOpen(options_);
  for (int i = 0; i < 3; i++) {
    const auto staged = Stage(*store, Noise(300'000, 7));
    ASSERT_TRUE(staged.ok());
    NewMessage message;
    message.staged = staged->get();
    ASSERT_TRUE(store->Save(messages_[0].mailbox, 1, {&message, 1}, {}).ok());
  }
  EXPECT_TRUE(Verify(true, true).empty());
}

// The header of the last transaction must not be passed over for the one before. (It goes unnoticed
// when damage makes one of them differ by exactly two.)
TEST_F(DamageSpareTest, HeadersThatDoNotFollowOneAnother) {
  constexpr size_t kPage = 4096, kTransactionAt = 144;
  Keep();
  const std::string index = fs::exists(path_ + "/index.1") ? "index.1" : "index.2";
  const std::string& good = files_.at(index);
  uint64_t numbers[2];
  size_t unnoticed = 0;
  for (size_t page = 0; page < 2; page++) {
    memcpy(&numbers[page], &good[page * kPage + kTransactionAt], sizeof(numbers[page]));
  }
  for (size_t i = 0; i < 16 && !HasFailure(); i++) {
    const size_t at = i / 8 * kPage + kTransactionAt + i % 8;
    SCOPED_TRACE("byte " + std::to_string(at));
    for (const char flip : {'\x01', '\x02', '\x80'}) {
      Restore(path_, files_);
      Poke(path_ + "/" + index, at, static_cast<char>(good[at] ^ flip));
      uint64_t now[2] = {numbers[0], numbers[1]};
      now[i / 8] ^= static_cast<uint64_t>(static_cast<uint8_t>(flip)) << 8 * (i % 8);
      if (now[0] % 2 == 0 && (now[1] == now[0] + 1 || now[0] == now[1] + 1)) {
        unnoticed++;
        continue;
      }
      const auto store = Store::Open(options_);
      ASSERT_FALSE(store.ok());
      EXPECT_EQ(store.status().code(), Code::kCorruption);
      EXPECT_NE(store.status().message().find("lbox repair"), std::string::npos);
    }
  }
  EXPECT_LE(unnoticed, 1u);
}

}  // namespace
}  // namespace lbox::testing

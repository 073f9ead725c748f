// Indexes that are lost and rebuilt: after random operations, with and without index copy and
// journal; with damage.
#include <filesystem>

#include <gtest/gtest.h>

#include "storage/store_check.h"
#include "tests/fault/rebuild_fixture.h"
#include "tests/fault/workload.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

namespace fs = std::filesystem;

// --- everything as it was
// --------------------------------------------------------------------------

class RandomRebuildTest : public RebuildTest {
 protected:
  void Begin(uint64_t seed) {
    driver_.Close();
    fs::remove_all(options_.path);
    driver_.model.clear();
    RandomSteps(seed, 120);
  }
};

TEST_F(RandomRebuildTest, AsItWas) {
  size_t copies = 0, journaled = 0;
  for (uint64_t seed = 1; seed <= Seeds(25) && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Begin(seed);
    ASSERT_FALSE(HasFatalFailure());
    LoseAndRebuild({});
    ASSERT_FALSE(HasFatalFailure());
    ExpectSame();
    copies += report_.copy_used ? 1 : 0;
    journaled += report_.journal_records;
    // It goes on, and is lost again.
    RandomSteps(seed + 1000, 40);
    LoseAndRebuild({});
    ASSERT_FALSE(HasFatalFailure());
    ExpectSame();
  }
  EXPECT_GT(copies, 0u);
  EXPECT_GT(journaled, 0u);
}

// Controls: without one or the other the comparison fails.
TEST_F(RandomRebuildTest, ControlNotWithoutTheJournal) {
  size_t differ = 0, lost = 0;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    Begin(seed);
    LoseAndRebuild({.journal = true}, false);
    differ += before_ != after_ ? 1 : 0;
    lost += Missing(driver_.store(), driver_.model).size();
    EXPECT_TRUE(report_.journal_gap);
    ExpectChecked();
  }
  EXPECT_GT(differ, 4u);
  EXPECT_EQ(lost, 0u) << "no mail is lost for want of a journal";
}

TEST_F(RandomRebuildTest, ControlNotWithoutTheCopy) {
  size_t differ = 0;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Begin(seed);
    Must(driver_.Maintain(true));  // takes a copy
    RandomSteps(seed + 1000, 30);
    LoseAndRebuild({.copy = true}, false);
    differ += before_ != after_ ? 1 : 0;
    EXPECT_FALSE(report_.copy_used);
    ExpectNoneMissing();
    ExpectChecked();
  }
  EXPECT_GT(differ, 4u);
}

// Packs alone: all mail, in mailboxes of the right names; what was expunged may be back.
TEST_F(RandomRebuildTest, FromPacksAlone) {
  for (uint64_t seed = 1; seed <= 8; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Begin(seed);
    LoseAndRebuild({.copy = true, .journal = true, .current = seed % 2 == 0}, false);
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_TRUE(report_.journal_gap);
    EXPECT_TRUE(report_.tail_doubtful);
    EXPECT_EQ(report_.doubtful_count, report_.messages);
    for (const RebuildMailbox& box : report_.mailboxes) {
      EXPECT_TRUE(box.name_known && box.uid_validity_kept) << ToHex(box.guid);
    }
    ExpectNoneMissing();
    ExpectChecked();
    Must(driver_.store().Maintain(std::chrono::seconds(10), true).status());
    ExpectNoneMissing();
  }
}

// A message and its copy come and go, and the pack is rewritten, all since the index copy: the
// journal tells of a copy whose body is nowhere.
TEST_F(RebuildTest, CopiesThatAreGoneAreNotLost) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.CreateBox(2));
  Must(driver_.Deliver(1, {Mail(1, 90'000), Mail(2)}));
  Must(driver_.Copy(1, 1, 1, 2, 2));
  Must(driver_.Expunge(1, 1, 1));
  Must(driver_.Expunge(2, 1, 2));
  Must(driver_.Maintain(false));
  ASSERT_EQ(driver_.store().GetStatus()->dead_bytes, 0u);
  LoseAndRebuild({});
  EXPECT_FALSE(report_.copy_used);
  ExpectSame();
}

TEST_F(RebuildTest, RenumberedMessages) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1, 200'000), Mail(2), Mail(3)}));
  Must(driver_.Renumber(1, 1, 2));
  LoseAndRebuild({});
  ExpectSame();
  Must(driver_.Maintain(true));
  ExpectSound();
}

TEST_F(RebuildTest, WhenPop3FetchedWhat) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1), Mail(2), Mail(3)}));
  Must(driver_.Retrieve(1, 1, 2, 1700000100));
  Must(driver_.Retrieve(1, 2, 3, 1700000200));
  Must(driver_.Renumber(1, 1, 1));
  LoseAndRebuild({});
  ExpectSame();
  EXPECT_NE(after_.find("retrieved 1700000100"), std::string::npos);
  EXPECT_NE(after_.find("retrieved 1700000200"), std::string::npos);
}

TEST_F(RebuildTest, AfterTheIndexHasShrunk) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.CreateBox(2));
  Must(driver_.Deliver(1, {Mail(1), Mail(2, 200'000)}));
  Must(driver_.Copy(1, 1, 1, 2, 4900));
  Must(driver_.Copy(1, 1, 2, 2, 2400));
  Must(driver_.Copy(1, 1, 1, 2, 4900));
  Must(driver_.Expunge(2, 1, 14000));
  Must(driver_.Maintain(true));
  EXPECT_GT(driver_.store().GetStatus()->generation, 1u);
  Must(driver_.Flag(2, 1, UINT32_MAX, 8, 0));
  Must(driver_.Deliver(2, {Mail(3)}));
  LoseAndRebuild({});
  EXPECT_TRUE(report_.copy_used);
  ExpectSame();
}

// --- doubt
// ----------------------------------------------------------------------------------------

// The journal's end may be missing after a power cut: UIDs that nobody knows of are not given
// again.
TEST_F(RebuildTest, AfterAnotherBootUidsJump) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1)}));
  driver_.Close();
  Lose(options_.path, {});
  OtherBoot env;
  StoreOptions options = options_;
  options.env = &env;
  const RebuildReport report = MustRebuild(options);
  EXPECT_TRUE(report.tail_doubtful);
  EXPECT_FALSE(report.journal_gap);
  MustOpen();
  EXPECT_GT(driver_.store().GetMailbox(MakeGuid(1))->next_uid, 100'000u);
  FollowJumps(driver_, false);
  ExpectSound();
}

// What comes behind damage in the journal is done again, but for removals.
TEST_F(RebuildTest, NothingIsRemovedBehindAGap) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.CreateBox(2));
  Must(driver_.Deliver(1, {Mail(1), Mail(2), Mail(3)}));
  const std::string journal = options_.path + "/journal.1";
  const auto begin = fs::file_size(journal);
  Must(driver_.Copy(1, 1, 1, 2));  // a move
  const auto end = fs::file_size(journal);
  Must(driver_.Expunge(1, 1, 1));
  Must(driver_.Flag(1, 2, 2, 8, 0));
  Must(driver_.DeleteBox(2));
  driver_.Close();
  std::string bytes = ReadFile(journal);
  bytes.replace(begin + 60, end - begin - 60, end - begin - 60, 'x');
  WriteFile(journal, bytes);
  Lose(options_.path, {});
  report_ = MustRebuild(options_);
  MustOpen();
  EXPECT_TRUE(report_.journal_gap);
  EXPECT_EQ(report_.removals_left_out, 3u);  // the second mailbox: a message and itself
  EXPECT_EQ(report_.doubtful_count, 1u);
  EXPECT_EQ(LoadText(driver_.store(), MakeGuid(1), 1).value(), Mail(1).text);
  EXPECT_EQ(driver_.store().Lookup(MakeGuid(1), 2)->flags, 8);
  EXPECT_TRUE(driver_.store().GetMailbox(MakeGuid(2)).ok());
  ExpectNoneMissing();
  ExpectChecked();
}

// A record of a transaction that did not commit, left behind the committed tail.
TEST_F(RebuildTest, SavesThatNeverCommitted) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1)}));
  const std::string index = options_.path + "/index.1";
  const std::string before = ReadFile(index);
  {
    Driver other(options_, driver_.model);
    driver_.Close();
    Must(other.Open());
    Must(other.Deliver(1, {Mail(2)}));
  }
  WriteFile(index, before);  // as if the power had gone before the commit
  const std::string pack = options_.path + "/p/00000001";
  // Hidden from who opens the store, or the save would be done again.
  const std::string bytes = ReadFile(pack);
  std::string hidden = bytes;
  hidden.replace(hidden.rfind("LBXR"), 4, 4, '\0');
  WriteFile(pack, hidden);
  // Whole: it may be there. Its UID and body id are another's meanwhile: the promised message has
  // them.
  MustOpen();
  Must(driver_.Copy(1, 1, 1, 1));
  WriteFile(pack, bytes);
  LoseAndRebuild({}, false);
  ExpectNoneMissing();
  ExpectChecked();
  EXPECT_EQ(report_.messages, 3u);
  EXPECT_EQ(report_.doubtful_count, 1u) << ToText(report_);
  // Torn: it is not there.
  driver_.Close();
  fs::resize_file(pack, UsedBytes(bytes) - 100);
  Lose(options_.path, {});
  report_ = MustRebuild(options_);
  EXPECT_EQ(report_.lost_count, 1u) << "it had become a message";
}

TEST_F(RebuildTest, TornSaveIsAbsent) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1), Mail(2)}));
  const Model model = driver_.model;
  Must(driver_.Deliver(1, {Mail(3, 3000)}));
  driver_.Close();
  const std::string pack = options_.path + "/p/00000001";
  std::string bytes = ReadFile(pack);
  bytes.replace(UsedBytes(bytes) - 1000, 1000, 1000, '\0');
  WriteFile(pack, bytes);
  Lose(options_.path, {});
  report_ = MustRebuild(options_);
  driver_.model = model;
  MustOpen();
  EXPECT_EQ(report_.messages, 2u);
  ExpectNoneMissing();
  ExpectChecked();
}

// --- damage
// ---------------------------------------------------------------------------------------

TEST_F(RebuildTest, DamagedRecordsAreNamedAndTheRestIsThere) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1), Mail(2), Mail(3), Mail(4, 200'000), Mail(5)}));
  Must(driver_.Maintain(true));
  driver_.Close();
  const std::string pack = options_.path + "/p/00000001";
  std::string bytes = ReadFile(pack);
  const size_t second = bytes.find("LBXR", 8);
  bytes[second + 50] = static_cast<char>(bytes[second + 50] ^ 1);  // header of 2
  const size_t third = bytes.find("LBXR", second + 8);
  bytes[third + 400] = static_cast<char>(bytes[third + 400] ^ 1);  // text of 3
  WriteFile(pack, bytes);
  Lose(options_.path, {});
  report_ = MustRebuild(options_);
  MustOpen();
  EXPECT_EQ(report_.lost_count, 1u);
  ASSERT_EQ(report_.lost.size(), 1u);
  EXPECT_EQ(report_.lost[0].uid, 2u);
  ASSERT_EQ(report_.doubtful.size(), 1u);
  EXPECT_EQ(report_.doubtful[0].uid, 3u);
  EXPECT_GT(report_.damaged_bytes, 0u);
  driver_.model[1].messages.erase(2);
  for (const uint32_t uid : {1u, 4u, 5u}) {
    EXPECT_EQ(std::hash<std::string>()(LoadText(driver_.store(), MakeGuid(1), uid).value()),
              driver_.model[1].messages[uid].hash);
  }
  EXPECT_EQ(LoadText(driver_.store(), MakeGuid(1), 3).status().code(), Code::kCorruption);
  EXPECT_TRUE(ReadFile(pack) == bytes) << "packs stay as they are";
  EXPECT_NE(ReadFile(report_.quarantine + "/report.txt").find("UID 2"), std::string::npos);
}

TEST_F(RebuildTest, NothingOnlyIsRemoved) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1), Mail(2, 200'000)}));
  Must(driver_.Maintain(true));
  driver_.Close();
  const std::string index = ReadFile(options_.path + "/index.1");
  const std::string copy = ReadFile(options_.path + "/index.copy");
  const std::string large = Names(options_.path + "/l").at(0);
  const std::string illegible(5000, 'x');
  WriteFile(options_.path + "/p/00000001", illegible);
  report_ = MustRebuild(options_);
  EXPECT_EQ(report_.lost_count, 2u);
  const std::string aside = report_.quarantine + "/";
  EXPECT_TRUE(ReadFile(aside + "index.1") == index);
  EXPECT_TRUE(ReadFile(aside + "index.copy") == copy);
  EXPECT_TRUE(ReadFile(aside + "pack-00000001") == illegible);
  EXPECT_TRUE(fs::exists(aside + "large-" + large));
  MustOpen();
  EXPECT_EQ(driver_.store().GetMailbox(MakeGuid(1))->messages, 0u);
  Must(driver_.store().Maintain(std::chrono::seconds(1), true).status());
  EXPECT_TRUE(fs::exists(aside + "large-" + large));
}

TEST_F(RebuildTest, WhoeverHasTheStoreOpenGoesOn) {
  MustOpen();
  Must(driver_.CreateBox(1));
  Must(driver_.Deliver(1, {Mail(1)}));
  report_ = MustRebuild(options_);
  EXPECT_EQ(driver_.store().GetMailbox(MakeGuid(1))->messages, 1u);
  EXPECT_EQ(driver_.store().GetStatus()->generation, 2u);
  FollowJumps(driver_, true);
  Must(driver_.Deliver(1, {Mail(2)}));
  ExpectSound();
  driver_.Close();
  MustOpen();
  ExpectSound();
}

TEST_F(RebuildTest, WhatIsNoStoreIsLeftAlone) {
  RebuildReport report;
  EXPECT_EQ(RebuildIndex(options_, &report).code(), Code::kNotFound);
  fs::create_directory(options_.path);
  EXPECT_EQ(RebuildIndex(options_, &report).code(), Code::kNotFound);
  EXPECT_TRUE(fs::is_empty(options_.path));
}

}  // namespace
}  // namespace lbox::testing

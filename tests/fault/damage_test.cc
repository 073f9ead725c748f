// Damage: every byte of every file of a small store flipped in turn, files cut short, removed, and
// exchanged with another store's. Whatever was done, the store gives the right bytes or says that
// they are damaged, verifying notices, and a repair leaves a good store with all mail that the
// damage did not touch. What an index may do to who reads it is seen from a child.
//
// By default not each place is tried, so that it takes less than a minute; LBOX_DAMAGE_STRIDE=1
// tries them all (an hour).
#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include <gtest/gtest.h>

#include "storage/child.h"
#include "storage/coding.h"
#include "storage/repair.h"
#include "storage/store_check.h"
#include "storage/verify.h"
#include "tests/fault/damage_store.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr char kFlips[] = {'\x01', '\xff', '\x80', '\x10'};

class DamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    messages_ = MakeDamageStore(path_, 1);
    files_ = Load(path_);
    ASSERT_GE(Present(messages_), 9u);
  }

  StoreOptions Options() const { return OptionsFor(path_); }

  // Files of p/, or of l/.
  std::vector<std::string> FilesIn(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_) {
      if (name.starts_with(prefix) && !bytes.empty()) {
        names.push_back(name);
      }
    }
    return names;
  }
  std::string IndexName() const { return "index.1"; }

  Result<CheckReport> Verify() const {
    VerifyOptions options;
    options.store = Options();
    options.patience = 10s;
    return VerifyStore(options);
  }

  // Repairs, and looks at what it left. How many messages were lost.
  size_t Repair() {
    RepairOptions options;
    options.store = Options();
    options.patience = 10s;
    RepairReport report;
    const Status repaired = RepairStore(options, &report);
    EXPECT_TRUE(repaired.ok()) << repaired.message();
    for (const Finding& finding : report.after.findings) {
      ADD_FAILURE() << "after the repair: " << finding.text;
    }
    const auto store = Store::Open(Options());
    if (!store.ok()) {
      ADD_FAILURE() << store.status().message();
      return 0;
    }
    EXPECT_TRUE((*store)->Damage().empty());
    const Readings readings = ReadEverything(**store, messages_);
    for (const std::string& wrong : readings.wrong) {
      ADD_FAILURE() << "after the repair: " << wrong;
    }
    EXPECT_EQ(readings.back, 0u);
    EXPECT_EQ(readings.refused, 0u);
    EXPECT_EQ(readings.right + readings.missing, Present(messages_));
    EXPECT_EQ(readings.missing, report.lost);
    // The report names each of them, and the file is where it says.
    size_t named = 0;
    for (const std::string& line : report.lines) {
      named += line.starts_with("lost: ") ? 1 : 0;
    }
    if (!report.rebuilt) {
      EXPECT_EQ(named, report.lost);
    }
    if (report.lost > 0) {
      EXPECT_FALSE(report.folders.empty());
    }
    for (const std::string& folder : report.folders) {
      EXPECT_FALSE(ReadFile(folder + "/report.txt").empty()) << folder;
    }
    // Mail goes on.
    EXPECT_TRUE(SaveText(**store, messages_[0].mailbox, "Subject: after\r\n\r\n").ok());
    return readings.missing;
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "store";
  std::vector<Expected> messages_;
  Files files_;
};

// --- packs and large bodies

// The store stays open, as in a session.
TEST_F(DamageTest, EveryByteOfPacksAndLargeBodies) {
  const auto store = MustOpen(Options());
  ASSERT_NE(store, nullptr);
  ASSERT_EQ(ReadEverything(*store, messages_).right, Present(messages_));
  size_t tried = 0, mattered = 0;
  for (const auto& [prefix, usual] : {std::pair{"p/", 5}, std::pair{"l/", 997}}) {
    for (const std::string& name : FilesIn(prefix)) {
      const std::string& good = files_[name];
      for (size_t at = 0; at < good.size() && !HasFailure(); at += Stride(usual)) {
        SCOPED_TRACE(name + " at " + std::to_string(at));
        Poke(path_ + "/" + name, at, static_cast<char>(good[at] ^ kFlips[tried++ % 4]));
        const Readings readings = ReadEverything(*store, messages_);
        for (const std::string& wrong : readings.wrong) {
          ADD_FAILURE() << wrong;
        }
        EXPECT_EQ(readings.missing, 0u);
        EXPECT_EQ(readings.right + readings.refused, Present(messages_));
        EXPECT_LE(readings.refused, 2u) << "of one record, and its copy";
        const auto report = CheckStore(*store, {true, true});
        ASSERT_TRUE(report.ok()) << report.status().message();
        const auto damaged = static_cast<size_t>(
            std::count_if(report->findings.begin(), report->findings.end(),
                          [](const Finding& f) { return f.damage == Damage::kMessage; }));
        EXPECT_EQ(damaged, readings.refused) << "verifying does not see what reading sees";
        mattered += report->findings.empty() ? 0 : 1;
        Poke(path_ + "/" + name, at, good[at]);
      }
    }
  }
  // What does not matter: padding, and the frames of records that are dead.
  EXPECT_GT(mattered, tried * 7 / 10);
  EXPECT_TRUE(CheckStore(*store, {true, true})->findings.empty());
}

TEST_F(DamageTest, PacksAndLargeBodiesRepaired) {
  size_t tried = 0, lost = 0;
  for (const auto& [prefix, usual] : {std::pair{"p/", 167}, std::pair{"l/", 60'000}}) {
    for (const std::string& name : FilesIn(prefix)) {
      const std::string& good = files_[name];
      for (size_t at = 3; at < good.size() && !HasFailure(); at += Stride(usual)) {
        SCOPED_TRACE(name + " at " + std::to_string(at));
        Restore(path_, files_);
        Poke(path_ + "/" + name, at, static_cast<char>(good[at] ^ kFlips[tried++ % 4]));
        const auto found = Verify();
        ASSERT_TRUE(found.ok());
        lost += Repair();
      }
    }
  }
  EXPECT_GT(lost, tried / 2);
}

// --- CURRENT

TEST_F(DamageTest, EveryByteOfCurrent) {
  const std::string good = files_["CURRENT"];
  size_t refused = 0, repaired = 0, tried = 0;
  for (size_t at = 0; at < good.size() && !HasFailure(); at++) {
    for (const char flip : kFlips) {
      SCOPED_TRACE("CURRENT at " + std::to_string(at));
      Restore(path_, files_);
      Poke(path_ + "/CURRENT", at, static_cast<char>(good[at] ^ flip));
      tried++;
      Status status;
      {
        const auto store = Store::Open(Options());
        if (store.ok()) {
          EXPECT_EQ(ReadEverything(**store, messages_).right, Present(messages_));
          continue;
        }
        status = store.status();
      }
      refused++;
      EXPECT_NE(status.message().find(path_), std::string::npos) << status.message();
      if (status.code() == Code::kUnsupported) {  // a newer lbox's, as far as anyone can tell
        EXPECT_EQ(Verify().status().code(), Code::kUnsupported);
        continue;
      }
      EXPECT_EQ(status.code(), Code::kCorruption) << status.message();
      const auto found = Verify();
      ASSERT_TRUE(found.ok()) << found.status().message();
      EXPECT_FALSE(found->findings.empty());
      if (refused % 13 == 1) {
        EXPECT_EQ(Repair(), 0u);
        repaired++;
      }
    }
  }
  EXPECT_GT(refused, tried * 9 / 10);
  EXPECT_GT(repaired, 5u);
}

// --- what does not matter

TEST_F(DamageTest, OtherFilesDoNotMatter) {
  WriteFile(path_ + "/listed-boot", "00000000-0000-0000-0000-000000000000\n");
  files_ = Load(path_);
  for (const char* name : {"lock", "reserve", "listed-boot", "index.1-lock"}) {
    const std::string good = files_[name];
    for (size_t at = 0; at < good.size() && !HasFailure();
         at += std::max<size_t>(good.size() / 8, 1)) {
      SCOPED_TRACE(std::string(name) + " at " + std::to_string(at));
      Restore(path_, files_);
      Poke(path_ + "/" + name, at, static_cast<char>(good[at] ^ '\xff'));
      const auto store = MustOpen(Options());
      ASSERT_NE(store, nullptr);
      EXPECT_EQ(ReadEverything(*store, messages_).right, Present(messages_));
      EXPECT_TRUE(CheckStore(*store, {true, true})->findings.empty());
    }
    SCOPED_TRACE(name);
    Restore(path_, files_);
    fs::remove(path_ + "/" + name);
    const auto store = MustOpen(Options());
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(ReadEverything(*store, messages_).right, Present(messages_));
  }
}

// --- cut short, removed

TEST_F(DamageTest, PacksAndLargeBodiesCutOrRemoved) {
  size_t lost = 0;
  for (const char* prefix : {"p/", "l/"}) {
    for (const std::string& name : FilesIn(prefix)) {
      const size_t size = UsedBytes(files_[name]);
      for (size_t i = 0; i <= 8 && !HasFailure(); i++) {
        const bool remove = i == 8;
        SCOPED_TRACE(name + (remove ? " removed" : " cut to " + std::to_string(size * i / 8)));
        Restore(path_, files_);
        if (remove) {
          fs::remove(path_ + "/" + name);
        } else {
          fs::resize_file(path_ + "/" + name, i == 7 ? size - 1 : size * i / 8);
        }
        {
          const auto store = MustOpen(Options());
          ASSERT_NE(store, nullptr) << "the rest is not served";
          const Readings readings = ReadEverything(*store, messages_);
          EXPECT_TRUE(readings.wrong.empty()) << readings.wrong.front();
          EXPECT_EQ(readings.missing, 0u);
          EXPECT_GT(readings.refused, 0u);
          EXPECT_EQ(store->Damage().size(), name.starts_with("p/") ? 1u : 0u);
        }
        EXPECT_FALSE(Verify()->findings.empty());
        lost += Repair();
      }
    }
  }
  EXPECT_GT(lost, 20u);
}

// A store whose packs are not there at all may be one whose disk is not mounted.
TEST_F(DamageTest, MissingFoldersAreNotRepaired) {
  for (const char* name : {"/p", "/l"}) {
    Restore(path_, files_);
    fs::remove_all(path_ + name);
    const Files before = Load(path_);
    EXPECT_FALSE(Verify()->findings.empty());
    RepairReport report;
    EXPECT_EQ(RepairStore({.store = Options()}, &report).code(), Code::kCorruption);
    EXPECT_EQ(Load(path_), before);
  }
}

// --- another store's files

TEST_F(DamageTest, FilesOfAnotherStore) {
  const std::string other = folder_ / "other";
  MakeDamageStore(other, 2);
  const Files theirs = Load(other);
  const auto first = [](const Files& files, const std::string& prefix) {
    return files.lower_bound(prefix)->second;
  };
  const std::vector<std::pair<std::string, std::string>> swaps = {
      {FilesIn("p/")[0], first(theirs, "p/")},
      {FilesIn("l/")[0], first(theirs, "l/")},
      {"CURRENT", theirs.at("CURRENT")},
      {"index.1", theirs.at("index.1")},
  };
  for (size_t set = 1; set < size_t{1} << swaps.size(); set++) {
    if (set == 0b1100 || set == 0b1101 || set == 0b1110 || set == 0b1111) {
      continue;  // index and CURRENT: that is the other store, with some packs missing
    }
    SCOPED_TRACE("set " + std::to_string(set));
    Restore(path_, files_);
    for (size_t i = 0; i < swaps.size(); i++) {
      if ((set >> i & 1) != 0) {
        WriteFile(path_ + "/" + swaps[i].first, swaps[i].second);
      }
    }
    {
      const auto store = Store::Open(Options());
      if (store.ok()) {
        const Readings readings = ReadEverything(**store, messages_);
        EXPECT_TRUE(readings.wrong.empty()) << readings.wrong.front();
        EXPECT_GT(readings.refused, 0u);
      } else {
        EXPECT_EQ(store.status().code(), Code::kCorruption) << store.status().message();
      }
    }
    const auto found = Verify();
    ASSERT_TRUE(found.ok()) << found.status().message();
    EXPECT_FALSE(found->findings.empty());
    RepairReport report;
    const Status repaired = RepairStore({.store = Options()}, &report);
    ASSERT_TRUE(repaired.ok()) << repaired.message();
    const auto store = MustOpen(Options());
    ASSERT_NE(store, nullptr);
    const Readings readings = ReadEverything(*store, messages_);
    EXPECT_TRUE(readings.wrong.empty()) << readings.wrong.front();
    EXPECT_EQ(readings.refused, 0u);
    if ((set & 0b11) == 0) {  // the mail itself is there
      EXPECT_EQ(readings.right, Present(messages_));
    }
  }
}

// --- the index

class IndexDamageTest : public DamageTest {
 protected:
  enum class Seen : char { kAllRight, kRefused, kMissing, kWrong };

  // What a session sees: in a child, as it may not survive.
  ChildEnd Session(Seen& seen, std::string& what) const {
    seen = Seen::kRefused;
    const auto work = [&](ChildPipe& pipe) {
      const auto store = Store::Open(Options());
      if (!store.ok()) {
        pipe.Send(static_cast<char>(Seen::kRefused), store.status().message());
        return;
      }
      const Readings readings = ReadEverything(**store, messages_);
      const Seen saw = !readings.wrong.empty()                ? Seen::kWrong
                       : readings.missing > 0                 ? Seen::kMissing
                       : readings.right == Present(messages_) ? Seen::kAllRight
                                                              : Seen::kRefused;
      pipe.Send(static_cast<char>(saw), readings.wrong.empty()
                                            ? std::to_string(readings.right) + " right, " +
                                                  std::to_string(readings.refused) + " refused, " +
                                                  std::to_string(readings.missing) + " missing"
                                            : readings.wrong.front());
    };
    const auto receive = [&](char kind, std::string_view bytes) {
      seen = static_cast<Seen>(kind);
      what = bytes;
    };
    auto end = RunInChild(work, receive, {.patience = 5s});
    EXPECT_TRUE(end.ok());
    return *end;
  }

  // After a session died: who comes next does not, and is told what to run.
  void ExpectTold() {
    Seen seen = Seen::kAllRight;
    std::string what;
    const ChildEnd end = Session(seen, what);
    EXPECT_EQ(end.kind, ChildEnd::Kind::kDone) << "the next session ended the same way";
    EXPECT_EQ(seen, Seen::kRefused);
    EXPECT_NE(what.find("lbox repair"), std::string::npos) << what;
  }

  struct Count {
    size_t tried = 0, right = 0, refused = 0, missing = 0, died = 0, stuck = 0, unnoticed = 0;
  };

  void Try(Count& count) {
    count.tried++;
    Seen seen = Seen::kAllRight;
    std::string what;
    const ChildEnd end = Session(seen, what);
    count.died += end.kind == ChildEnd::Kind::kDied ? 1 : 0;
    count.stuck += end.kind == ChildEnd::Kind::kStuck ? 1 : 0;
    if (end.kind != ChildEnd::Kind::kDone) {
      return ExpectTold();
    }
    EXPECT_NE(seen, Seen::kWrong) << "wrong mail: " << what;
    count.right += seen == Seen::kAllRight ? 1 : 0;
    count.refused += seen == Seen::kRefused ? 1 : 0;
    count.missing += seen == Seen::kMissing ? 1 : 0;
    if (seen != Seen::kAllRight) {
      const auto found = Verify();
      EXPECT_TRUE(!found.ok() || !found->findings.empty()) << "not noticed by verifying: " << what;
    }
  }

  void PutIndex(const std::string& bytes) {
    WriteFile(path_ + "/index.1", bytes);
    fs::remove(path_ + "/index.1-lock");
    fs::remove(path_ + "/lock");
  }

  void Print(const Count& count) {
    printf(
        "[          ] %zu tried: %zu right, %zu refused, %zu with mail missing, %zu sessions died, "
        "%zu hung\n",
        count.tried, count.right, count.refused, count.missing, count.died, count.stuck);
  }
};

TEST_F(IndexDamageTest, EveryByte) {
  const std::string& good = files_["index.1"];
  Count count;
  for (size_t at = First(); at < good.size() && !HasFailure(); at += Stride(67)) {
    SCOPED_TRACE("index.1 at " + std::to_string(at));
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ kFlips[at % 4]);
    PutIndex(bad);
    Try(count);
  }
  Print(count);
  EXPECT_GT(count.refused + count.missing + count.died, 0u);
}

// An index that cannot be used is made anew, and all mail is there.
TEST_F(IndexDamageTest, Repaired) {
  const std::string& good = files_["index.1"];
  size_t tried = 0, rebuilt = 0;
  const auto repair = [&](const std::string& index) {
    Restore(path_, files_);
    if (index.empty()) {
      fs::remove(path_ + "/index.1");
    } else {
      WriteFile(path_ + "/index.1", index);
    }
    Seen seen = Seen::kAllRight;
    std::string what;
    const ChildEnd end = Session(seen, what);
    const auto found = Verify();
    ASSERT_TRUE(found.ok()) << found.status().message();
    tried++;
    if (end.kind == ChildEnd::Kind::kDone && seen == Seen::kAllRight && found->findings.empty()) {
      return;
    }
    rebuilt++;
    EXPECT_EQ(Repair(), 0u);
  };
  repair("");
  for (size_t i = 0; i < 4; i++) {
    repair(good.substr(0, std::max<size_t>(good.size() * i / 4, 1)));
  }
  for (size_t at = 11; at < good.size() && !HasFailure(); at += Stride(211)) {
    SCOPED_TRACE("index.1 at " + std::to_string(at));
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ '\xff');
    repair(bad);
  }
  EXPECT_GT(rebuilt, 5u);
  printf("[          ] %zu tried, %zu repaired\n", tried, rebuilt);
}

// Where LMDB keeps the roots of its trees: a wrong one leads to pages that are good in themselves,
// those of another mailbox for example.
std::vector<size_t> RootRecords(const std::string& index) {
  constexpr size_t kPage = 4096, kHeader = 16, kFlagsAt = 10, kLowerAt = 12, kRecord = 48;
  constexpr uint16_t kLeaf = 2, kIsTree = 2;
  const auto number = [&](size_t at) {
    return LoadLittle<uint16_t>(reinterpret_cast<const uint8_t*>(index.data()) + at);
  };
  std::vector<size_t> records;
  for (size_t page = 0; page + kPage <= index.size(); page += kPage) {
    if (number(page + kFlagsAt) != kLeaf) {
      continue;
    }
    for (size_t at = kHeader; at + 2 <= number(page + kLowerAt) && at < kPage; at += 2) {
      const size_t node = number(page + at);
      if (node + 8 < kPage && (number(page + node + 4) & kIsTree) != 0 &&
          node + 8 + number(page + node + 6) + kRecord <= kPage) {
        records.push_back(page + node + 8 + number(page + node + 6));
      }
    }
  }
  return records;
}

TEST_F(IndexDamageTest, RootsOfTrees) {
  {
    const auto store = MustOpen(Options());
    ASSERT_NE(store, nullptr);
    messages_.clear();
    // Enough for each mailbox to have a tree of its own.
    for (uint64_t box = 11; box <= 13; box++) {
      const Guid guid = MustCreate(*store, 100 + box);
      const auto body = Stage(*store, "Subject: " + std::to_string(box) + "\r\n\r\n");
      std::vector<NewMessage> batch(150);
      for (size_t i = 0; i < batch.size(); i++) {
        batch[i].staged = body->get();
        batch[i].guid = MakeGuid(box * 1000 + i);
      }
      ASSERT_TRUE(store->Save(guid, 1, batch, {}).ok());
      for (const NewMessage& one : batch) {
        messages_.push_back(
            {guid, one.uid, one.guid, 0, "Subject: " + std::to_string(box) + "\r\n\r\n"});
      }
    }
  }
  const std::string good = ReadFile(path_ + "/index.1");
  Count count;
  for (const size_t record : RootRecords(good)) {
    for (size_t at = record; at < record + 48 && !HasFailure(); at += Stride(3)) {
      // The least of a page's number leads to its neighbours.
      for (const char flip : {'\x01', '\x02', '\x03', '\x04', '\xff'}) {
        if (flip != '\x01' && (at - record) % 48 != 40 && Stride(3) != 1) {
          continue;
        }
        SCOPED_TRACE("index.1 at " + std::to_string(at));
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ flip);
        PutIndex(bad);
        Try(count);
      }
    }
    for (size_t page = 2; page < 60 && !HasFailure();
         page += Stride(3)) {  // the root is any other page
      SCOPED_TRACE("index.1, root at " + std::to_string(record) + " is page " +
                   std::to_string(page));
      std::string bad = good;
      StoreLittle(reinterpret_cast<uint8_t*>(bad.data()) + record + 40, uint64_t(page));
      PutIndex(bad);
      Try(count);
    }
  }
  Print(count);
  EXPECT_GT(count.refused + count.missing + count.died, count.tried / 10);
}

TEST_F(IndexDamageTest, Cut) {
  const std::string& good = files_["index.1"];
  Count count;
  for (size_t size = 0; size < good.size() && !HasFailure(); size += Stride(1499)) {
    SCOPED_TRACE("index.1 cut to " + std::to_string(size));
    PutIndex(good.substr(0, size));
    Try(count);
  }
  Print(count);
  EXPECT_GT(count.refused + count.missing + count.died, count.tried / 2);
}

}  // namespace
}  // namespace lbox

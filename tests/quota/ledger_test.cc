// The ledger's LMDB engine: rows, totals, values; what survives a kill; damage; growth; a model.
#include "quota/ledger_lmdb.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include <gtest/gtest.h>
#include <lmdb.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quota/ledger_rows.h"
#include "tests/quota/temp_folder.h"

namespace hosting {
namespace {

SourceRow Row(uint64_t bytes, uint64_t messages = 0) {
  SourceRow row;
  row.bytes = bytes;
  row.messages = messages;
  row.at = 1000;
  return row;
}

SourceId Mail(const std::string& account, const std::string& user) {
  return {account, SourceKind::kMail, user};
}

std::unique_ptr<Ledger> Open(const TempFolder& folder, uint64_t map = 1 << 20) {
  auto ledger = OpenLmdbLedger(folder.path(), map);
  EXPECT_TRUE(ledger.ok()) << ledger.status().message();
  return ledger.ok() ? std::move(*ledger) : nullptr;
}

std::vector<std::string> Problems(Ledger& ledger) {
  const auto problems = ledger.Verify();
  EXPECT_TRUE(problems.ok()) << problems.status().message();
  return problems.ok() ? *problems : std::vector<std::string>{"failed"};
}

std::vector<std::string> Names(Ledger& ledger, const std::string& account,
                               const SourceCursor& from = {}) {
  std::vector<std::string> names;
  EXPECT_TRUE(ledger
                  .ForEachSource(account, from,
                                 [&](const SourceId& id, const SourceRow&) {
                                   names.push_back(id.name);
                                   return true;
                                 })
                  .ok());
  return names;
}

// Runs `work` in a process that is killed at the end of it.
template <typename Work>
void InKilledProcess(const Work& work) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    work();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(Ledger, KeepsRowsWhole) {
  const TempFolder folder;
  SourceRow row = Row(1, 2);
  row.disk = 3;
  std::fill(std::begin(row.instance), std::end(row.instance), uint8_t{0xab});
  row.counter = UINT64_MAX;
  row.at = -5;
  row.counted_at = 77;
  row.open = 9;
  row.recount = row.unsure = row.hint = true;
  row.partial = 4;
  row.problem = "/srv/www/x: Permission denied";
  {
    auto ledger = Open(folder);
    ASSERT_TRUE(ledger->Put(Mail("a", "u"), row).ok());
    EXPECT_TRUE(ledger->uncommitted());
    EXPECT_EQ(*ledger->Get(Mail("a", "u")), row);
    ASSERT_TRUE(ledger->Commit().ok());
    EXPECT_FALSE(ledger->uncommitted());
  }
  auto ledger = Open(folder);
  EXPECT_EQ(*ledger->Get(Mail("a", "u")), row);
  EXPECT_EQ(ledger->Get(Mail("a", "v")).status().code(), Code::kNotFound);
  EXPECT_EQ(ledger->Get({"a", SourceKind::kWeb, "u"}).status().code(), Code::kNotFound);
}

TEST(Ledger, TotalsFollow) {
  const TempFolder folder;
  auto ledger = Open(folder);
  SourceRow waiting = Row(10, 1);
  waiting.recount = waiting.unsure = true;
  ASSERT_TRUE(ledger->Put(Mail("a", "u"), waiting).ok());
  ASSERT_TRUE(ledger->Put(Mail("a", "v"), Row(20, 2)).ok());
  ASSERT_TRUE(ledger->Put({"a", SourceKind::kWeb, "/w"}, Row(300)).ok());
  ASSERT_TRUE(ledger->Put({"a", SourceKind::kExternal, "db"}, Row(4000)).ok());
  ASSERT_TRUE(ledger->Put(Mail("ab", "u"), Row(7)).ok());
  EXPECT_EQ(*ledger->Totals("a"), (AccountTotals{30, 300, 4000, 3, 0, 4, 1, 1}));

  ASSERT_TRUE(ledger->Put(Mail("a", "u"), Row(11, 1)).ok());
  ASSERT_TRUE(ledger->Remove({"a", SourceKind::kWeb, "/w"}).ok());
  ASSERT_TRUE(ledger->Remove({"a", SourceKind::kWeb, "/none"}).ok());
  EXPECT_EQ(*ledger->Totals("a"), (AccountTotals{31, 0, 4000, 3, 0, 3, 0, 0}));
  EXPECT_EQ(*ledger->Totals("nobody"), AccountTotals());

  std::vector<std::string> accounts;
  const auto visit = [&](std::string_view account, const AccountTotals&) {
    accounts.emplace_back(account);
    return true;
  };
  ASSERT_TRUE(ledger->ForEachAccount("", visit).ok());
  ASSERT_TRUE(ledger->ForEachAccount("a", visit).ok());
  EXPECT_EQ(accounts, (std::vector<std::string>{"a", "ab", "ab"}));
  ASSERT_TRUE(ledger->Remove(Mail("ab", "u")).ok());
  accounts.clear();
  ASSERT_TRUE(ledger->ForEachAccount("", visit).ok());
  EXPECT_EQ(accounts, (std::vector<std::string>{"a"}));
  EXPECT_TRUE(Problems(*ledger).empty());
}

TEST(Ledger, NamesOfEveryLength) {
  const TempFolder folder;
  auto ledger = Open(folder);
  const std::string account(kMaxAccountBytes, 'a');
  std::vector<std::string> names;
  for (const size_t size : {1U, 200U, 243U, 244U, 245U, 255U, 1000U, 4096U}) {
    names.push_back(std::string(size, 'n'));
    names.push_back(std::string(size - 1, 'n') + "m");
    ASSERT_TRUE(ledger->Put(Mail(account, names[names.size() - 2]), Row(size)).ok());
    ASSERT_TRUE(ledger->Put(Mail(account, names.back()), Row(size)).ok());
  }
  std::sort(names.begin(), names.end());
  auto found = Names(*ledger, account);
  // Goes on behind any of them.
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(Names(*ledger, account, {SourceKind::kMail, found[i]}).size(), found.size() - i - 1);
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, names);
  EXPECT_TRUE(Problems(*ledger).empty());

  EXPECT_EQ(ledger->Put(Mail(account + "a", "u"), Row(1)).code(), Code::kInvalid);
  EXPECT_EQ(ledger->Put(Mail("", "u"), Row(1)).code(), Code::kInvalid);
  EXPECT_EQ(ledger->Put(Mail(std::string("a\0b", 3), "u"), Row(1)).code(), Code::kInvalid);
  EXPECT_EQ(ledger->Put(Mail("a", ""), Row(1)).code(), Code::kInvalid);
  EXPECT_EQ(ledger->Put(Mail("a", std::string(4097, 'n')), Row(1)).code(), Code::kInvalid);
}

TEST(Ledger, Values) {
  const TempFolder folder;
  auto ledger = Open(folder);
  ASSERT_TRUE(ledger->PutValue("d/a", "1").ok());
  ASSERT_TRUE(ledger->PutValue("d/b", "").ok());
  ASSERT_TRUE(ledger->PutValue("e", std::string(100000, 'x')).ok());
  ASSERT_TRUE(ledger->PutValue("c", "0").ok());
  std::string seen;
  const auto visit = [&](std::string_view key, std::string_view) {
    seen += std::string(key) + " ";
    return true;
  };
  ASSERT_TRUE(ledger->ForEachValue("d/", "", visit).ok());
  EXPECT_EQ(seen, "d/a d/b ");
  seen.clear();
  ASSERT_TRUE(ledger->ForEachValue("d/", "d/a", visit).ok());
  EXPECT_EQ(seen, "d/b ");
  EXPECT_EQ(*ledger->GetValue("d/b"), "");
  ASSERT_TRUE(ledger->RemoveValue("d/b").ok());
  EXPECT_EQ(ledger->GetValue("d/b").status().code(), Code::kNotFound);
  EXPECT_EQ(ledger->PutValue(std::string(501, 'k'), "").code(), Code::kInvalid);
}

TEST(Ledger, OneOwner) {
  const TempFolder folder;
  const auto ledger = Open(folder);
  EXPECT_EQ(OpenLmdbLedger(folder.path()).status().code(), Code::kBusy);
}

TEST(Ledger, SavedSurvivesAKill) {
  const TempFolder folder;
  InKilledProcess([&] {
    auto ledger = Open(folder);
    (void)ledger->Put(Mail("a", "committed"), Row(1));
    (void)ledger->Commit();
    (void)ledger->Put(Mail("a", "saved"), Row(2));
    (void)ledger->Save();
    (void)ledger->Remove(Mail("a", "committed"));
    (void)ledger->PutValue("v", "saved");
    (void)ledger->Save();
    (void)ledger->Put(Mail("a", "unsaved"), Row(4));
  });
  auto ledger = Open(folder);
  EXPECT_EQ(Names(*ledger, "a"), (std::vector<std::string>{"saved"}));
  EXPECT_EQ(*ledger->GetValue("v"), "saved");
  EXPECT_FALSE(ledger->uncommitted());
  EXPECT_TRUE(Problems(*ledger).empty());
}

TEST(Ledger, TornJournalKeepsWhatIsWhole) {
  const TempFolder folder;
  InKilledProcess([&] {
    auto ledger = Open(folder);
    for (int i = 0; i < 10; ++i) {
      (void)ledger->Put(Mail("a", std::to_string(i)), Row(1));
      (void)ledger->Save();
    }
  });
  const std::string journal = folder.file("ledger.journal");
  std::filesystem::resize_file(journal, std::filesystem::file_size(journal) - 3);
  {
    auto ledger = Open(folder);
    EXPECT_EQ(Names(*ledger, "a").size(), 9U);
    EXPECT_TRUE(Problems(*ledger).empty());
  }
}

// What a power cut may leave: the journal's old content, over a newer commit.
TEST(Ledger, OldJournalIsVoid) {
  const TempFolder folder;
  const std::string journal = folder.file("ledger.journal");
  InKilledProcess([&] {
    auto ledger = Open(folder);
    (void)ledger->Put(Mail("a", "u"), Row(1));
    (void)ledger->Save();
  });
  std::filesystem::copy_file(journal, folder.file("old"));
  {
    auto ledger = Open(folder);  // takes it in and commits
    ASSERT_TRUE(ledger->Put(Mail("a", "u"), Row(2)).ok());
    ASSERT_TRUE(ledger->Commit().ok());
  }
  std::filesystem::copy_file(folder.file("old"), journal,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(Open(folder)->Get(Mail("a", "u"))->bytes, 2U);
}

TEST(Ledger, JournalOfAnotherLedgerIsVoid) {
  const TempFolder one;
  const TempFolder two;
  for (const TempFolder* folder : {&one, &two}) {
    InKilledProcess([&] {
      auto ledger = Open(*folder);
      (void)ledger->Put(Mail("a", folder->path()), Row(1));
      (void)ledger->Save();
    });
  }
  std::filesystem::copy_file(one.file("ledger.journal"), two.file("ledger.journal"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(Names(*Open(two), "a").empty());
}

// A write of the journal fails: nothing is lost of the batch, and it can be saved later.
TEST(Ledger, FailedSaveCanBeTriedAgain) {
  const TempFolder folder;
  InKilledProcess([&] {
    signal(SIGXFSZ, SIG_IGN);
    auto ledger = Open(folder);
    (void)ledger->Put(Mail("a", "first"), Row(1));
    const bool saved = ledger->Save().ok();
    struct rlimit limit {};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = std::filesystem::file_size(folder.file("ledger.journal")) + 100;
    setrlimit(RLIMIT_FSIZE, &limit);
    (void)ledger->Put(Mail("a", "second"), Row(2));
    const bool failed = !ledger->Save().ok() && !ledger->Commit().ok();
    const bool there = ledger->Get(Mail("a", "second")).ok();
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (!saved || !failed || !there || !ledger->Save().ok()) {
      _exit(1);
    }
  });
  auto ledger = Open(folder);
  EXPECT_EQ(Names(*ledger, "a").size(), 2U);
  EXPECT_TRUE(Problems(*ledger).empty());
}

TEST(Ledger, MapGrows) {
  const TempFolder folder;
  auto ledger = Open(folder, 1);
  const std::string name(400, 'n');
  for (int i = 0; i < 20000; ++i) {
    ASSERT_TRUE(
        ledger->Put(Mail("a" + std::to_string(i % 10), name + std::to_string(i)), Row(1)).ok())
        << i;
    if (i % 1000 == 0) {
      ASSERT_TRUE(ledger->Save().ok());
    }
  }
  ASSERT_TRUE(ledger->Commit().ok());
  EXPECT_TRUE(Problems(*ledger).empty());
  EXPECT_EQ(ledger->Totals("a3")->mail, 2000U);
}

// Changes a byte of a value behind the ledger's back.
void Damage(const TempFolder& folder, const char* table, const std::string& key, size_t at) {
  MDB_env* env = nullptr;
  MDB_txn* txn = nullptr;
  MDB_dbi dbi = 0;
  ASSERT_EQ(mdb_env_create(&env), 0);
  ASSERT_EQ(mdb_env_set_maxdbs(env, 4), 0);
  ASSERT_EQ(mdb_env_open(env, folder.file("ledger").c_str(), MDB_NOSUBDIR, 0600), 0);
  ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
  ASSERT_EQ(mdb_dbi_open(txn, table, 0, &dbi), 0);
  std::string name = key;
  MDB_val k{name.size(), name.data()};
  MDB_val v{};
  ASSERT_EQ(mdb_get(txn, dbi, &k, &v), 0);
  std::string value(static_cast<const char*>(v.mv_data), v.mv_size);
  value[at] = static_cast<char>(value[at] ^ 1);
  MDB_val changed{value.size(), value.data()};
  ASSERT_EQ(mdb_put(txn, dbi, &k, &changed, 0), 0);
  ASSERT_EQ(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
}

TEST(Ledger, DamageIsNamedAndMended) {
  const TempFolder folder;
  {
    auto ledger = Open(folder);
    ASSERT_TRUE(ledger->Put(Mail("a", "ann@example.com"), Row(10)).ok());
    ASSERT_TRUE(ledger->Put(Mail("a", "bob@example.com"), Row(20)).ok());
    ASSERT_TRUE(ledger->Put({"a", SourceKind::kWeb, "/w"}, Row(5)).ok());
    ASSERT_TRUE(ledger->Put(Mail("b", "u"), Row(30)).ok());
    ASSERT_TRUE(ledger->PutValue("value", "x").ok());
    ASSERT_TRUE(ledger->Commit().ok());
  }
  Damage(folder, "source", *SourceKey("a", SourceKind::kMail, "ann@example.com"), 20);
  Damage(folder, "source", *SourceKey("a", SourceKind::kWeb, "/w"), 20);
  Damage(folder, "total", "b", 15);
  Damage(folder, "value", "value", 0);

  auto ledger = Open(folder);
  const auto row = ledger->Get(Mail("a", "ann@example.com"));
  EXPECT_EQ(row.status().code(), Code::kCorruption);
  EXPECT_NE(row.status().message().find("ann@example.com"), std::string::npos)
      << row.status().message();
  EXPECT_EQ(ledger->Put(Mail("a", "ann@example.com"), Row(1)).code(), Code::kCorruption);
  EXPECT_EQ(ledger->Totals("b").status().code(), Code::kCorruption);
  EXPECT_EQ(ledger->GetValue("value").status().code(), Code::kCorruption);
  EXPECT_EQ(Problems(*ledger).size(), 5U);  // with the totals of a

  EXPECT_EQ(ledger->Mend()->size(), 5U);
  EXPECT_TRUE(Problems(*ledger).empty());
  EXPECT_TRUE(ledger->Get(Mail("a", "ann@example.com"))->unsure);
  EXPECT_EQ(*ledger->Totals("a"), (AccountTotals{20, 0, 0, 0, 0, 2, 1, 1}));
  EXPECT_EQ(ledger->Totals("b")->mail, 30U);
}

// Random work beside a plain model, with reopening and kills in between.
class LedgerModel : public ::testing::TestWithParam<int> {};

struct Model {
  std::map<SourceId, SourceRow> rows;
  std::map<std::string, std::string> values;
};

void Step(Ledger& ledger, Model& model, std::mt19937_64& random) {
  const auto pick = [&](uint64_t n) { return random() % n; };
  const SourceId id{"a" + std::to_string(pick(5)), static_cast<SourceKind>(1 + pick(3)),
                    "u" + std::to_string(pick(20)) + std::string(pick(2) * 600, 'x')};
  if (pick(4) == 0) {
    ASSERT_TRUE(ledger.Remove(id).ok());
    model.rows.erase(id);
  } else {
    SourceRow row = Row(pick(1ULL << 40), pick(1000));
    row.recount = pick(2) == 0;
    row.open = static_cast<uint32_t>(pick(3));
    ASSERT_TRUE(ledger.Put(id, row).ok());
    model.rows[id] = row;
  }
  const std::string key = "k" + std::to_string(pick(30));
  if (pick(3) == 0) {
    ASSERT_TRUE(ledger.RemoveValue(key).ok());
    model.values.erase(key);
  } else {
    const std::string value(pick(2000), 'v');
    ASSERT_TRUE(ledger.PutValue(key, value).ok());
    model.values[key] = value;
  }
}

void ExpectSame(Ledger& ledger, const Model& model) {
  std::map<SourceId, SourceRow> rows;
  std::map<std::string, std::string> values;
  for (int account = 0; account < 5; ++account) {
    ASSERT_TRUE(ledger
                    .ForEachSource("a" + std::to_string(account), {},
                                   [&](const SourceId& id, const SourceRow& row) {
                                     rows[id] = row;
                                     return true;
                                   })
                    .ok());
  }
  ASSERT_TRUE(ledger
                  .ForEachValue("", "",
                                [&](std::string_view key, std::string_view value) {
                                  values[std::string(key)] = value;
                                  return true;
                                })
                  .ok());
  EXPECT_EQ(rows, model.rows);
  EXPECT_EQ(values, model.values);
  EXPECT_TRUE(Problems(ledger).empty());
}

TEST_P(LedgerModel, Holds) {
  const TempFolder folder;
  std::mt19937_64 random(static_cast<uint64_t>(GetParam()));
  Model model;
  for (int round = 0; round < 8; ++round) {
    const auto seed = random();
    // The same steps in the process that is killed and, on the model, here.
    Model saved = model;
    const auto work = [&](Ledger& ledger, Model& at, bool in_child) {
      std::mt19937_64 steps(seed);
      const uint64_t count = 20 + steps() % 200;
      for (uint64_t i = 0; i < count; ++i) {
        Step(ledger, at, steps);
        const uint64_t what = steps() % 10;
        if (what < 3) {
          EXPECT_TRUE((what == 0 ? ledger.Commit() : ledger.Save()).ok());
          saved = at;
        }
      }
      (void)in_child;
    };
    InKilledProcess([&] {
      auto ledger = Open(folder, 1);
      Model scratch = model;
      work(*ledger, scratch, true);
    });
    const TempFolder shadow;
    auto other = Open(shadow);
    for (const auto& [id, row] : model.rows) {
      ASSERT_TRUE(other->Put(id, row).ok());
    }
    for (const auto& [key, value] : model.values) {
      ASSERT_TRUE(other->PutValue(key, value).ok());
    }
    saved = model;
    Model scratch = model;
    work(*other, scratch, false);
    ExpectSame(*other, scratch);
    model = saved;  // what was neither saved nor committed is gone
    auto ledger = Open(folder);
    ExpectSame(*ledger, model);
    if (HasFailure()) {
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerModel, ::testing::Range(1, 4));

}  // namespace
}  // namespace hosting

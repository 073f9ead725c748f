#include "quota/ledger_lmdb.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "quota/bytes.h"
#include "quota/descriptor.h"
#include "quota/ledger_journal.h"
#include "quota/ledger_rows.h"
#include "quota/lmdb_file.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr size_t kEnvironmentIdBytes = 16;
constexpr std::string_view kEnvironmentKey = "id";

void Count(AccountTotals& totals, const SourceId& id, const SourceRow& row, bool add) {
  const auto sum = [add](auto& total, uint64_t amount) {
    using T = std::remove_reference_t<decltype(total)>;
    total = static_cast<T>(add ? total + amount : total - amount);
  };
  switch (id.kind) {
    case SourceKind::kMail:
      sum(totals.mail, row.bytes);
      sum(totals.messages, row.messages);
      sum(totals.disk, row.disk);
      break;
    case SourceKind::kWeb:
      sum(totals.web, row.bytes);
      break;
    case SourceKind::kExternal:
      sum(totals.external, row.bytes);
      break;
  }
  sum(totals.sources, 1);
  sum(totals.recounts, row.recount ? 1 : 0);
  sum(totals.unsure, row.unsure ? 1 : 0);
}

std::string Describe(const AccountTotals& totals) {
  return "mail " + std::to_string(totals.mail) + ", web " + std::to_string(totals.web) +
         ", external " + std::to_string(totals.external) + ", messages " +
         std::to_string(totals.messages) + ", disk " + std::to_string(totals.disk) + ", sources " +
         std::to_string(totals.sources) + ", recounts " + std::to_string(totals.recounts) +
         ", unsure " + std::to_string(totals.unsure);
}

class LmdbLedger : public Ledger {
 public:
  LmdbLedger(Descriptor lock, LmdbFile file, LedgerJournal journal)
      : lock_(std::move(lock)), file_(std::move(file)), journal_(std::move(journal)) {}

  Status Start();

  Result<SourceRow> Get(const SourceId& id) override;
  Result<AccountTotals> Totals(std::string_view account) override;
  Status ForEachSource(std::string_view account, const SourceCursor& from,
                       const SourceVisit& visit) override;
  Status ForEachAccount(std::string_view after, const AccountVisit& visit) override;
  Status Put(const SourceId& id, const SourceRow& row) override { return Change(id, &row); }
  Status Remove(const SourceId& id) override { return Change(id, nullptr); }
  Result<std::string> GetValue(std::string_view key) override;
  Status PutValue(std::string_view key, std::string_view value) override;
  Status RemoveValue(std::string_view key) override;
  Status ForEachValue(std::string_view prefix, std::string_view after,
                      const ValueVisit& visit) override;
  [[nodiscard]] bool uncommitted() const override { return !pending_.empty(); }
  Status Save() override;
  Status Commit() override;
  Result<std::vector<std::string>> Verify() override { return Check(false); }
  Result<std::vector<std::string>> Mend() override { return Check(true); }

 private:
  using Table = LmdbFile::Table;
  using RawKey = std::pair<Table, std::string>;
  struct RawChange {
    std::optional<std::string> value;  // none: removed
    bool saved = false;
  };
  using RawChanges = std::map<RawKey, RawChange>;

  // Puts or removes (nullptr) a source, and its account's totals with it.
  Status Change(const SourceId& id, const SourceRow* row);
  // A change of the batch: remembered, so that it can be done again in another transaction.
  Status Write(Table table, std::string key, std::optional<std::string> value);
  Status WriteThrough(const RawKey& key, const RawChange& change);
  Status DoPendingAgain();
  Status Take(std::string_view record);
  Result<std::vector<std::string>> Check(bool mend);
  Status CheckSources(bool mend, std::map<std::string, AccountTotals>& sums,
                      std::vector<std::string>& problems);
  Status CheckTotals(bool mend, std::map<std::string, AccountTotals>& sums,
                     std::vector<std::string>& problems);
  Status CheckValues(bool mend, std::vector<std::string>& problems);

  Descriptor lock_;
  LmdbFile file_;
  LedgerJournal journal_;
  std::string environment_;
  RawChanges pending_;                         // since the last commit
  std::vector<RawChanges::iterator> unsaved_;  // of these, what the journal does not have
};

Status LmdbLedger::Start() {
  auto id = file_.Get(Table::kMeta, kEnvironmentKey);
  if (id.status().code() == Code::kNotFound) {
    std::string random(kEnvironmentIdBytes, '\0');
    if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
      return Status::FromErrno("getrandom()", errno);
    }
    LBOX_RETURN_IF_ERROR(file_.Put(Table::kMeta, kEnvironmentKey, random));
    LBOX_RETURN_IF_ERROR(file_.Commit());
    environment_ = random;
  } else {
    LBOX_RETURN_IF_ERROR(id.status());
    environment_ = *id;
  }
  LBOX_RETURN_IF_ERROR(journal_.Replay(environment_, file_.LastCommit(),
                                       [this](std::string_view record) { return Take(record); }));
  if (pending_.empty()) {
    journal_.Restart(environment_, file_.LastCommit());
    return {};
  }
  return Commit();
}

Status LmdbLedger::Take(std::string_view record) {
  ByteReader in(record);
  while (in.ok() && !in.done()) {
    const auto table = in.Number<uint8_t>();
    const auto put = in.Number<uint8_t>();
    const auto key_bytes = in.Number<uint32_t>();
    const auto value_bytes = in.Number<uint32_t>();
    std::string key(in.Bytes(key_bytes));
    const std::string value(in.Bytes(value_bytes));
    if (!in.ok() || table >= LmdbFile::kTables) {
      return Status(Code::kCorruption, "the ledger's journal holds a record of no known form");
    }
    LBOX_RETURN_IF_ERROR(Write(static_cast<Table>(table), std::move(key),
                               put != 0 ? std::optional(value) : std::nullopt));
  }
  return {};
}

Status LmdbLedger::WriteThrough(const RawKey& key, const RawChange& change) {
  return change.value ? file_.Put(key.first, key.second, *change.value)
                      : file_.Remove(key.first, key.second);
}

Status LmdbLedger::DoPendingAgain() {
  for (int tries = 0;; ++tries) {
    Status status;
    for (const auto& [key, change] : pending_) {
      if (status = WriteThrough(key, change); !status.ok()) {
        break;
      }
    }
    if (status.code() != Code::kFull || tries > 20) {
      return status;
    }
    LBOX_RETURN_IF_ERROR(file_.Grow());
  }
}

Status LmdbLedger::Write(Table table, std::string key, std::optional<std::string> value) {
  const auto [at, added] = pending_.try_emplace(RawKey(table, std::move(key)));
  if (added || at->second.saved) {
    unsaved_.push_back(at);
  }
  at->second = {std::move(value), false};
  Status status = WriteThrough(at->first, at->second);
  if (status.ok()) {
    return status;
  }
  // After a failure LMDB's transaction is of no use any more.
  if (status.code() == Code::kFull) {
    LBOX_RETURN_IF_ERROR(file_.Grow());
  } else {
    file_.Abort();
  }
  return DoPendingAgain();
}

Status LmdbLedger::Change(const SourceId& id, const SourceRow* row) {
  LBOX_ASSIGN_OR_RETURN(const std::string key, SourceKey(id.account, id.kind, id.name));
  LBOX_ASSIGN_OR_RETURN(AccountTotals totals, Totals(id.account));
  const auto before = file_.Get(Table::kSource, key);
  if (before.ok()) {
    SourceId old_id;
    SourceRow old_row;
    LBOX_RETURN_IF_ERROR(DecodeSource(key, *before, old_id, old_row));
    Count(totals, old_id, old_row, false);
  } else if (before.status().code() != Code::kNotFound) {
    return before.status();
  } else if (row == nullptr) {
    return {};
  }
  if (row != nullptr) {
    Count(totals, id, *row, true);
    LBOX_RETURN_IF_ERROR(Write(Table::kSource, key, EncodeSource(key, id.name, *row)));
  } else {
    LBOX_RETURN_IF_ERROR(Write(Table::kSource, key, std::nullopt));
  }
  return Write(
      Table::kTotals, id.account,
      totals.sources == 0 ? std::nullopt : std::optional(EncodeTotals(id.account, totals)));
}

Result<SourceRow> LmdbLedger::Get(const SourceId& id) {
  LBOX_ASSIGN_OR_RETURN(const std::string key, SourceKey(id.account, id.kind, id.name));
  const auto value = file_.Get(Table::kSource, key);
  if (!value.ok()) {
    return value.status();
  }
  SourceId found;
  SourceRow row;
  LBOX_RETURN_IF_ERROR(DecodeSource(key, *value, found, row));
  return row;
}

Result<AccountTotals> LmdbLedger::Totals(std::string_view account) {
  const auto value = file_.Get(Table::kTotals, account);
  if (value.status().code() == Code::kNotFound) {
    return AccountTotals();
  }
  LBOX_RETURN_IF_ERROR(value.status());
  return DecodeTotals(account, *value);
}

Status LmdbLedger::ForEachSource(std::string_view account, const SourceCursor& from,
                                 const SourceVisit& visit) {
  std::string start = SourcePrefix(account, from.kind);
  if (!from.name.empty()) {
    LBOX_ASSIGN_OR_RETURN(start, SourceKey(account, from.kind, from.name));
  }
  Status status;
  const std::string prefix = SourcePrefix(account);
  LBOX_RETURN_IF_ERROR(
      file_.ForEach(Table::kSource, start, [&](std::string_view key, std::string_view value) {
        if (!key.starts_with(prefix)) {
          return false;
        }
        if (!from.name.empty() && key == start) {
          return true;
        }
        SourceId id;
        SourceRow row;
        status = DecodeSource(key, value, id, row);
        return status.ok() && visit(id, row);
      }));
  return status;
}

Status LmdbLedger::ForEachAccount(std::string_view after, const AccountVisit& visit) {
  Status status;
  LBOX_RETURN_IF_ERROR(
      file_.ForEach(Table::kTotals, after, [&](std::string_view key, std::string_view value) {
        if (!after.empty() && key == after) {
          return true;
        }
        const auto totals = DecodeTotals(key, value);
        status = totals.status();
        return status.ok() && visit(key, *totals);
      }));
  return status;
}

Result<std::string> LmdbLedger::GetValue(std::string_view key) {
  const auto bytes = file_.Get(Table::kValue, key);
  return bytes.ok() ? DecodeValue(key, *bytes) : bytes;
}

Status LmdbLedger::PutValue(std::string_view key, std::string_view value) {
  if (key.empty() || key.size() > kMaxValueKeyBytes) {
    return Status(Code::kInvalid, "a value's key has 1 to 500 bytes: " + Printable(key));
  }
  return Write(Table::kValue, std::string(key), EncodeValue(key, value));
}

Status LmdbLedger::RemoveValue(std::string_view key) {
  const auto before = file_.Get(Table::kValue, key);
  if (!before.ok()) {
    return before.status().code() == Code::kNotFound ? Status() : before.status();
  }
  return Write(Table::kValue, std::string(key), std::nullopt);
}

Status LmdbLedger::ForEachValue(std::string_view prefix, std::string_view after,
                                const ValueVisit& visit) {
  Status status;
  LBOX_RETURN_IF_ERROR(file_.ForEach(Table::kValue, std::max(prefix, after),
                                     [&](std::string_view key, std::string_view bytes) {
                                       if (!key.starts_with(prefix)) {
                                         return key < prefix;
                                       }
                                       if (key == after) {
                                         return true;
                                       }
                                       const auto value = DecodeValue(key, bytes);
                                       status = value.status();
                                       return status.ok() && visit(key, *value);
                                     }));
  return status;
}

Status LmdbLedger::Save() {
  if (unsaved_.empty()) {
    return {};
  }
  ByteWriter record;
  for (const auto& at : unsaved_) {
    const auto& [key, change] = *at;
    record.Number<uint8_t>(static_cast<uint8_t>(key.first));
    record.Number<uint8_t>(change.value ? 1 : 0);
    record.Number<uint32_t>(key.second.size());
    record.Number<uint32_t>(change.value ? change.value->size() : 0);
    record.Bytes(key.second);
    record.Bytes(change.value ? *change.value : std::string());
  }
  LBOX_RETURN_IF_ERROR(journal_.Append(record.bytes()));
  for (const auto& at : unsaved_) {
    at->second.saved = true;
  }
  unsaved_.clear();
  return {};
}

Status LmdbLedger::Commit() {
  if (pending_.empty()) {
    return {};
  }
  // Durable after this: everything that was put so far.
  Status status = file_.Commit();
  if (status.code() == Code::kFull) {
    LBOX_RETURN_IF_ERROR(file_.Grow());
    LBOX_RETURN_IF_ERROR(DoPendingAgain());
    status = file_.Commit();
  }
  if (!status.ok()) {
    // The batch stays in effect: its transaction is gone, so it is put into another one.
    LBOX_RETURN_IF_ERROR(DoPendingAgain());
    return status;
  }
  pending_.clear();
  unsaved_.clear();
  journal_.Restart(environment_, file_.LastCommit());
  return {};
}

Status LmdbLedger::CheckSources(bool mend, std::map<std::string, AccountTotals>& sums,
                                std::vector<std::string>& problems) {
  std::vector<std::string> damaged;
  LBOX_RETURN_IF_ERROR(
      file_.ForEach(Table::kSource, "", [&](std::string_view key, std::string_view value) {
        SourceId id;
        SourceRow row;
        if (const Status status = DecodeSource(key, value, id, row); !status.ok()) {
          problems.push_back(status.message());
          damaged.emplace_back(key);
        } else {
          Count(sums[id.account], id, row, true);
        }
        return true;
      }));
  if (!mend) {
    return {};
  }
  for (const std::string& key : damaged) {
    LBOX_RETURN_IF_ERROR(Write(Table::kSource, key, std::nullopt));
    SourceId id;
    id.account = AccountOfKey(key);
    id.kind = SourceKind::kMail;
    const std::string prefix = SourcePrefix(id.account, id.kind);
    id.name = key.substr(std::min(prefix.size(), key.size()));
    const auto again = SourceKey(id.account, id.kind, id.name);
    SourceRow row;
    row.recount = row.unsure = true;
    if (again.ok() && *again == key) {
      LBOX_RETURN_IF_ERROR(Write(Table::kSource, key, EncodeSource(key, id.name, row)));
      Count(sums[id.account], id, row, true);
    }
  }
  return {};
}

Status LmdbLedger::CheckTotals(bool mend, std::map<std::string, AccountTotals>& sums,
                               std::vector<std::string>& problems) {
  std::vector<std::string> extra;
  std::map<std::string, AccountTotals> missing = sums;
  LBOX_RETURN_IF_ERROR(
      file_.ForEach(Table::kTotals, "", [&](std::string_view key, std::string_view value) {
        const std::string account(key);
        const auto totals = DecodeTotals(key, value);
        const auto sum = sums.find(account);
        if (!totals.ok()) {
          problems.push_back(totals.status().message());
        } else if (sum == sums.end()) {
          problems.push_back("account \"" + Printable(account) + "\" has totals but no source");
        } else if (*totals != sum->second) {
          problems.push_back("the totals of account \"" + Printable(account) + "\" are " +
                             Describe(*totals) + "; its sources add up to " +
                             Describe(sum->second));
        } else {
          missing.erase(account);
        }
        if (sum == sums.end()) {
          extra.push_back(account);
        } else if (!totals.ok() || *totals != sum->second) {
          missing.erase(account);
          if (mend) {
            missing.emplace(account, sum->second);
          }
        }
        return true;
      }));
  for (const auto& [account, sum] : missing) {
    if (!mend) {
      problems.push_back("account \"" + Printable(account) + "\" has sources but no totals");
    } else {
      LBOX_RETURN_IF_ERROR(Write(Table::kTotals, account, EncodeTotals(account, sum)));
    }
  }
  for (const std::string& account : extra) {
    if (mend) {
      LBOX_RETURN_IF_ERROR(Write(Table::kTotals, account, std::nullopt));
    }
  }
  return {};
}

Status LmdbLedger::CheckValues(bool mend, std::vector<std::string>& problems) {
  std::vector<std::string> damaged;
  LBOX_RETURN_IF_ERROR(
      file_.ForEach(Table::kValue, "", [&](std::string_view key, std::string_view bytes) {
        if (const auto value = DecodeValue(key, bytes); !value.ok()) {
          problems.push_back(value.status().message());
          damaged.emplace_back(key);
        }
        return true;
      }));
  for (const std::string& key : damaged) {
    if (mend) {
      LBOX_RETURN_IF_ERROR(Write(Table::kValue, key, std::nullopt));
    }
  }
  return {};
}

Result<std::vector<std::string>> LmdbLedger::Check(bool mend) {
  std::vector<std::string> problems;
  std::map<std::string, AccountTotals> sums;
  LBOX_RETURN_IF_ERROR(CheckSources(mend, sums, problems));
  LBOX_RETURN_IF_ERROR(CheckTotals(mend, sums, problems));
  LBOX_RETURN_IF_ERROR(CheckValues(mend, problems));
  return problems;
}

}  // namespace

Result<std::unique_ptr<Ledger>> OpenLmdbLedger(const std::string& folder, uint64_t first_map) {
  const std::string lock_path = folder + "/ledger.owner";
  Descriptor lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) {
    return Status::FromErrno("open(" + lock_path + ")", errno);
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK
               ? Status(Code::kBusy, folder + ": another process has this ledger open")
               : Status::FromErrno("flock(" + lock_path + ")", errno);
  }
  LBOX_ASSIGN_OR_RETURN(LmdbFile file, LmdbFile::Open(folder + "/ledger", first_map));
  LBOX_ASSIGN_OR_RETURN(LedgerJournal journal, LedgerJournal::Open(folder + "/ledger.journal"));
  auto ledger = std::make_unique<LmdbLedger>(std::move(lock), std::move(file), std::move(journal));
  LBOX_RETURN_IF_ERROR(ledger->Start());
  return std::unique_ptr<Ledger>(std::move(ledger));
}

}  // namespace hosting

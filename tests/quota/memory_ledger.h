// A ledger in memory, for tests that need many fresh ones: the interface and nothing else.
#pragma once

#include <map>
#include <string>

#include "quota/ledger.h"

namespace hosting {

class MemoryLedger : public Ledger {
 public:
  Result<SourceRow> Get(const SourceId& id) override {
    const auto at = rows_.find(id);
    return at == rows_.end() ? Result<SourceRow>(Status(Code::kNotFound, id.name))
                             : Result<SourceRow>(at->second);
  }
  Result<AccountTotals> Totals(std::string_view account) override {
    AccountTotals totals;
    for (auto at = rows_.lower_bound({std::string(account), {}, {}});
         at != rows_.end() && at->first.account == account; ++at) {
      Add(totals, at->first, at->second);
    }
    return totals;
  }
  Status ForEachSource(std::string_view account, const SourceCursor& from,
                       const SourceVisit& visit) override {
    for (auto at = rows_.upper_bound({std::string(account), from.kind, from.name});
         at != rows_.end() && at->first.account == account && visit(at->first, at->second); ++at) {
    }
    return {};
  }
  Status ForEachAccount(std::string_view after, const AccountVisit& visit) override {
    std::string account(after);
    for (auto at = rows_.begin(); at != rows_.end(); ++at) {
      if (at->first.account > account) {
        account = at->first.account;
        if (!visit(account, *Totals(account))) {
          break;
        }
      }
    }
    return {};
  }
  Status Put(const SourceId& id, const SourceRow& row) override {
    if (id.account.empty() || id.account.size() > kMaxAccountBytes || id.name.empty() ||
        id.name.size() > kMaxSourceNameBytes) {
      return Status(Code::kInvalid, "a name of no or too many bytes");
    }
    rows_[id] = row;
    return {};
  }
  Status Remove(const SourceId& id) override {
    rows_.erase(id);
    return {};
  }
  Result<std::string> GetValue(std::string_view key) override {
    const auto at = values_.find(key);
    return at == values_.end() ? Result<std::string>(Status(Code::kNotFound, std::string(key)))
                               : Result<std::string>(at->second);
  }
  Status PutValue(std::string_view key, std::string_view value) override {
    if (key.empty() || key.size() > kMaxValueKeyBytes) {
      return Status(Code::kInvalid, "a key of no or too many bytes");
    }
    values_[std::string(key)] = value;
    return {};
  }
  Status RemoveValue(std::string_view key) override {
    values_.erase(std::string(key));
    return {};
  }
  Status ForEachValue(std::string_view prefix, std::string_view after,
                      const ValueVisit& visit) override {
    for (auto at = values_.lower_bound(std::max(prefix, after));
         at != values_.end() && at->first.starts_with(prefix); ++at) {
      if (at->first != after && !visit(at->first, at->second)) {
        break;
      }
    }
    return {};
  }
  [[nodiscard]] bool uncommitted() const override { return false; }
  Status Save() override { return {}; }
  Status Commit() override { return {}; }
  Result<std::vector<std::string>> Verify() override { return std::vector<std::string>(); }
  Result<std::vector<std::string>> Mend() override { return std::vector<std::string>(); }

 private:
  static void Add(AccountTotals& totals, const SourceId& id, const SourceRow& row) {
    switch (id.kind) {
      case SourceKind::kMail:
        totals.mail += row.bytes;
        totals.messages += row.messages;
        totals.disk += row.disk;
        break;
      case SourceKind::kWeb:
        totals.web += row.bytes;
        break;
      case SourceKind::kExternal:
        totals.external += row.bytes;
        break;
    }
    ++totals.sources;
    totals.recounts += row.recount ? 1 : 0;
    totals.unsure += row.unsure ? 1 : 0;
  }

  std::map<SourceId, SourceRow> rows_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace hosting

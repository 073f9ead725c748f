// Ledger: who uses how much. One row per (account, source) with an absolute value, and totals kept
// with them.
//
// Purpose: the interface behind which an engine keeps the rows; nothing outside knows which engine
// it is (ledger_lmdb.h is the one
//   there is; an engine for several hosts follows).
// Ownership: hosting-usage alone opens a ledger, one process, one thread.
// Failure modes: Status; after an error nothing of the batch is in effect.
// Crash rule: what Commit answered ok survives a kill and a power cut; a batch is in effect whole
// or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quota/status.h"

namespace hosting {

enum class SourceKind : uint8_t { kMail = 1, kWeb = 2, kExternal = 3 };

struct SourceId {
  std::string account;
  SourceKind kind = SourceKind::kMail;
  std::string name;  // mail: the user; web: the root's path; external: its name
  friend auto operator<=>(const SourceId&, const SourceId&) = default;
};

struct SourceRow {
  uint64_t bytes = 0, messages = 0, disk = 0;
  uint8_t instance[16] = {};
  uint64_t counter = 0;
  int64_t at = 0;        // Unix seconds of the figure
  bool open = false;     // a session may hold what was not reported yet
  bool recount = false;  // not to be trusted before a recount
  uint32_t partial = 0;  // web: walks since the last complete one
  std::string problem;   // of the last partial walk
};

struct AccountTotals {
  uint64_t mail = 0, web = 0, external = 0, messages = 0, disk = 0;
  uint32_t recounts = 0;  // rows that wait for a recount
  friend bool operator==(const AccountTotals&, const AccountTotals&) = default;
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  // Reads see what the batch in progress has put.
  virtual Result<SourceRow> Get(const SourceId& id) = 0;               // kNotFound
  virtual Result<AccountTotals> Totals(std::string_view account) = 0;  // zeros when unknown
  virtual Status ForEachSource(
      std::string_view account,
      const std::function<void(const SourceId&, const SourceRow&)>& visit) = 0;
  virtual Status ForEachAccount(
      const std::function<void(std::string_view, const AccountTotals&)>& visit) = 0;

  // Changes of a batch: in effect for reads at once, durable with Commit. Totals follow by
  // themselves.
  virtual Status Put(const SourceId& id, const SourceRow& row) = 0;
  virtual Status Remove(const SourceId& id) = 0;
  // Small named values of the service itself (boot id, clean shutdown) and of billing (samples,
  // invoices): ordered bytes to bytes.
  virtual Result<std::string> GetValue(std::string_view key) = 0;  // kNotFound
  virtual Status PutValue(std::string_view key, std::string_view value) = 0;
  virtual Status RemoveValue(std::string_view key) = 0;
  virtual Status ForEachValue(
      std::string_view prefix,
      const std::function<void(std::string_view, std::string_view)>& visit) = 0;
  virtual Status Commit() = 0;

  // Sums all rows again and compares: texts of what differs. For tests and `doveadm hosting config
  // check`.
  virtual Result<std::vector<std::string>> Verify() = 0;
};

}  // namespace hosting

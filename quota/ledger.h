// Ledger: who uses how much. One row per (account, source) with an absolute value, and totals kept
// with them.
//
// Purpose: the interface behind which an engine keeps the rows; nothing outside knows which engine
// it is (ledger_lmdb.h is the one there is; an engine for several hosts follows).
// Ownership: hosting-usage alone opens a ledger, one process, one thread.
// Failure modes: Status. A row whose checksum does not hold is kCorruption, and the message names
// it. After a failed Save or Commit the batch is still in effect, and may be tried again.
// Crash rule: what Save answered ok survives a kill of this process; what Commit answered ok
// survives a power cut, too. A batch is in effect whole or not at all.
#pragma once

#include <compare>
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

constexpr size_t kMaxAccountBytes = 255;
constexpr size_t kMaxSourceNameBytes = 4096;
constexpr size_t kMaxProblemBytes = 256;  // longer texts are cut
constexpr size_t kMaxValueKeyBytes = 500;

struct SourceId {
  std::string account;  // 1 to 255 bytes, no NUL
  SourceKind kind = SourceKind::kMail;
  std::string name;  // mail: the user; web: the root's path; external: its name
  friend auto operator<=>(const SourceId&, const SourceId&) = default;
};

struct SourceRow {
  uint64_t bytes = 0, messages = 0, disk = 0;
  uint8_t instance[16] = {};
  uint64_t counter = 0;
  int64_t at = 0;          // Unix seconds of the figure; 0: there was none yet
  int64_t counted_at = 0;  // Unix seconds of the last one that was counted from scratch
  uint32_t open = 0;       // sessions that may hold what was not reported yet
  bool recount = false;    // to be counted from scratch
  bool unsure = false;     // and nothing of the account is enforced before that
  bool hint = false;       // reported by a uid that is trusted with its own account only
  uint32_t partial = 0;    // web: walks since the last complete one
  std::string problem;     // of the last partial walk
  friend bool operator==(const SourceRow&, const SourceRow&) = default;
};

// Sums of an account's rows.
struct AccountTotals {
  uint64_t mail = 0, web = 0, external = 0;  // bytes
  uint64_t messages = 0, disk = 0;           // of mail
  uint32_t sources = 0;                      // rows
  uint32_t recounts = 0;                     // rows that are to be counted again
  uint32_t unsure = 0;                       // of these, rows on which enforcing waits
  friend bool operator==(const AccountTotals&, const AccountTotals&) = default;
};

// Where a walk over an account's sources goes on.
struct SourceCursor {
  SourceKind kind = SourceKind::kMail;
  std::string name;  // empty: at the first one of the kind; else behind this one
};

class Ledger {
 public:
  // False stops the walk. A visit may not change the ledger.
  using SourceVisit = std::function<bool(const SourceId&, const SourceRow&)>;
  using AccountVisit = std::function<bool(std::string_view account, const AccountTotals&)>;
  using ValueVisit = std::function<bool(std::string_view key, std::string_view value)>;

  virtual ~Ledger() = default;

  // Reads see what the batch in progress has put.
  virtual Result<SourceRow> Get(const SourceId& id) = 0;               // kNotFound
  virtual Result<AccountTotals> Totals(std::string_view account) = 0;  // zeros when unknown
  // By kind, then in an order of the engine's.
  virtual Status ForEachSource(std::string_view account, const SourceCursor& from,
                               const SourceVisit& visit) = 0;
  // By name, those after `after`.
  virtual Status ForEachAccount(std::string_view after, const AccountVisit& visit) = 0;

  // Changes of a batch: in effect for reads at once. Totals follow by themselves.
  virtual Status Put(const SourceId& id, const SourceRow& row) = 0;
  virtual Status Remove(const SourceId& id) = 0;  // ok when it is not there
  // Small named values of the service itself (boot id, clean shutdown) and of billing (samples,
  // invoices): ordered bytes to bytes.
  virtual Result<std::string> GetValue(std::string_view key) = 0;  // kNotFound
  virtual Status PutValue(std::string_view key, std::string_view value) = 0;
  virtual Status RemoveValue(std::string_view key) = 0;  // ok when it is not there
  // Keys that begin so, in order, those after `after` (a whole key; empty: all).
  virtual Status ForEachValue(std::string_view prefix, std::string_view after,
                              const ValueVisit& visit) = 0;

  // True when something was changed since the last Commit.
  [[nodiscard]] virtual bool uncommitted() const = 0;
  virtual Status Save() = 0;    // cheap: no flush
  virtual Status Commit() = 0;  // flushes

  // Reads and sums all rows again: texts of what is wrong, none when all is well.
  virtual Result<std::vector<std::string>> Verify() = 0;
  // The same, and mends it: a damaged row of mail becomes one that waits for a recount, other
  // damaged rows and values are removed, totals are summed again. Part of the batch.
  virtual Result<std::vector<std::string>> Mend() = 0;
};

}  // namespace hosting

// WebSchedule: which account's web roots are to be walked when, one at a time.
//
// Purpose: the web meter is told accounts as they fall due by their package's interval, or at once
// when somebody asks. Ownership: of UsageService. Process rules: one thread, no clock of its own.
// Crash rule: none; filled from policy and ledger at the start.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hosting {

class WebSchedule {
 public:
  // An account with these roots, walked last at `last` (Unix seconds; 0: never). Again: with other
  // roots or another interval.
  void Set(const std::string& account, std::set<std::string> roots, uint32_t interval_s,
           int64_t last, int64_t now);
  void Remove(const std::string& account);
  [[nodiscard]] std::vector<std::string> Accounts() const;
  // As soon as possible. False when the account has no roots.
  bool AtOnce(const std::string& account);

  // The next one to be walked now, when none is: it is being walked from then on.
  std::optional<std::string> Take(int64_t now);
  // A root of it was walked. True when it was the last one.
  bool Walked(const std::string& account, const std::string& root, int64_t now);
  // The meter has gone: what it was walking is due again, after a pause.
  void Lost(int64_t now);
  // A walk that takes longer than a walk can is given up.
  void Tick(int64_t now);

  [[nodiscard]] const std::optional<std::string>& walking() const { return walking_; }
  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::set<std::string> roots, left;  // left: of the walk that goes on
    uint32_t interval_s = 0;
    int64_t due = 0;
  };

  void Plan(const std::string& account, Entry& entry, int64_t due);

  std::map<std::string, Entry> entries_;
  std::set<std::pair<int64_t, std::string>> due_;
  std::optional<std::string> walking_;
  int64_t since_ = 0;  // of the walk's last sign of life
};

}  // namespace hosting

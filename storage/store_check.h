// Checking a store: do its rows, its totals and its packs agree with one another?
//
// Purpose: the tests' last word after whatever they did to a store, and the base of a verify
// command. Changes nothing. Failure: a problem found is no failure of the check; a row that cannot
// be read ends the part of the check that it is in. The index is checked in one read transaction,
// which keeps pages of writers from being used again for as long as it takes (about a second for a
// million messages).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/store.h"

namespace lbox {

struct CheckOptions {
  bool records = true;  // read every record header in the packs
  bool bodies = false;  // and verify every stored byte
};

struct CheckReport {
  std::vector<std::string> problems;  // one line each; at most kMaxProblems
  uint64_t mailboxes = 0, messages = 0, bodies = 0, packs = 0;
};
inline constexpr size_t kMaxProblems = 100;

Result<CheckReport> CheckStore(Store& store, const CheckOptions& options);

}  // namespace lbox

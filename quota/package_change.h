// What another package means for an account and each of its mailboxes, told before or after.
//
// Purpose: comparison only; doveadm prints it. Process and crash rules: none, no I/O.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quota/policy.h"

namespace hosting {

struct StoredMail {
  std::string user;
  uint64_t bytes = 0;
  UserdbFields fields = {};  // as the userdb or the passdb gives them now
  std::string source = {};   // of fields.package: "userdb", "passdb"
};

struct PackageChange {
  std::string user;  // "": of the account as a whole
  std::string what;  // "limit", "imap", "retention", "folders", ...
  std::string before, after;
  std::string note;  // what follows from it
};

// stored: all bytes that count in the account; mail: its mailboxes.
std::vector<PackageChange> PackageChanges(const PolicyIndex& before, const PolicyIndex& after,
                                          const std::string& account, uint64_t stored,
                                          const std::vector<StoredMail>& mail);
// Whether the package of every mailbox comes from a field, so that the policy file has no say.
bool ComesFromFields(const std::vector<StoredMail>& mail);

}  // namespace hosting

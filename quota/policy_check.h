// What must hold between the parts of a policy: packages that accounts name, users, domains and web
// roots of which each belongs to one account only.
//
// Purpose: the second half of reading the file. Ownership: looks at a draft. Process and crash
// rules: none.
#pragma once

#include <vector>

#include "quota/policy.h"
#include "quota/policy_reader.h"

namespace hosting {

// A policy that is being read, and where its parts stand. Packages and accounts are still in the
// order of the file.
struct PolicyDraft {
  Policy policy;
  std::vector<const TomlNode*> packages;  // the tables, as in policy.packages
  std::vector<const TomlNode*> accounts;  // as in policy.accounts
};

// Tells of everything that is wrong, and drops web roots that lie in others of the same account.
void CheckPolicy(PolicyDraft& draft, PolicyReader& reader);

}  // namespace hosting

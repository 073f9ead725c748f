// Opening the policy file: only where nobody but root could have put or changed it.
//
// Purpose: the file decides who pays what and which folders a privileged process walks, so it and
// all folders above it must be owned by root and not writable by group or others (a sticky bit does
// not help). Symbolic links are followed one by one, and what they lead to is looked at in the same
// way. Ownership: values. Process rules: none. Failure modes: kPermission with the path that is to
// blame; kNotFound, kIo as the system says.
#pragma once

#include <cstdint>
#include <string>

#include "quota/status.h"

namespace hosting {

struct PathRules {
  uint32_t owner = 0;  // may own file and folders beside root; for tests
  // This folder and those above it are taken as they are; for tests, whose folders lie below /tmp.
  std::string trusted_folder;
};

// Which content of which file was read.
struct FileIdentity {
  uint64_t device = 0, inode = 0;
  uint64_t size = 0;     // bytes
  int64_t modified = 0;  // ns since 1970 (st_mtim)
  int64_t changed = 0;   // ns since 1970 (st_ctim)
  uint64_t hash = 0;     // XXH3-64 of the content
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct PolicyText {
  std::string text;
  FileIdentity identity;
  // It was changed so shortly before that another change could have the same times.
  bool fresh = false;
};

// `path` is absolute. kInvalid when the file is larger than kMaxPolicyFile.
Result<PolicyText> ReadPolicyText(const std::string& path, const PathRules& rules);
// Without opening, without checks, and with hash 0.
Result<FileIdentity> StatPolicy(const std::string& path);

}  // namespace hosting

// RootIndex: where the web roots of all accounts really are.
//
// Purpose: the policy refuses roots of two accounts that overlap by name; by bind mounts, or names
// that differ only to the eye, one account's root may still lie within another's, or be the same
// directory. Space would be counted twice, or for the wrong customer. Known here are the roots'
// (device, inode), which the walks compare with what they meet.
// Ownership: a value; paths and names are copied. Threads: const calls from any.
// Failure modes: a root that cannot be opened is in no index; its own walk says why.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quota/policy.h"
#include "quota/web_open.h"

namespace hosting {

class RootIndex {
 public:
  // What a walk is told about a directory that it meets.
  struct Meeting {
    bool known = false;    // it is a root: not counted by this walk
    std::string conflict;  // of another account: why the walk's result cannot stand; else empty
  };

  RootIndex() = default;
  // Looks at each root of each account: some 5 us for one whose inodes are in memory.
  static RootIndex Of(const Policy& policy);

  // Looks at the roots of one account, (again) in place of what was known of them.
  void Set(const std::string& account, const std::vector<std::string>& paths);

  // A directory below a root of `account`.
  [[nodiscard]] Meeting Meet(const FileId& id, std::string_view account) const;
  // Why a root of `account`, open as `root`, may not be counted: it is, or lies in, a root of
  // another account. Empty when it may.
  [[nodiscard]] std::string ConflictAbove(int root, std::string_view account) const;
  // The first path under which the account has a root there; empty: none.
  [[nodiscard]] std::string FirstPath(const FileId& id, std::string_view account) const;

 private:
  struct Root {
    std::string account;
    std::string path;
  };
  [[nodiscard]] const Root* OfAnother(const FileId& id, std::string_view account) const;

  std::map<FileId, std::vector<Root>> roots_;  // several: the same directory under several paths
  std::map<std::string, std::vector<FileId>, std::less<>> of_account_;
};

}  // namespace hosting

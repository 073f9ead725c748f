// The policy file: TOML as docs/packages.md describes it, read into a Policy.
//
// Purpose: strict reading. Every problem of the file is told with line, column and what was
// expected, and a file with any problem gives no policy. Ownership: values. Process rules: only
// hosting-usage and doveadm read the file. Failure modes: ParsePolicy cannot fail other than by
// problems, whatever the text is (bounded work, no recursion beyond kMaxTomlDepth).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quota/policy.h"
#include "quota/policy_text.h"

namespace hosting {

constexpr size_t kMaxPolicyFile = 64 << 20;  // bytes

// What a policy refers to outside of the file.
struct PolicyNames {
  // The uid of a system user; nothing: there is none.
  std::function<std::optional<uint32_t>(const std::string&)> uid_of;
  // Whether the system's zoneinfo has a time zone.
  std::function<bool(const std::string&)> known_zone;

  static PolicyNames System();  // getpwnam, /usr/share/zoneinfo
};

struct ParsedPolicy {
  Policy policy;                  // to be used only when there is no problem
  std::vector<Problem> problems;  // in the order of the file
  std::vector<Problem> warnings;  // allowed, but probably not meant
};

ParsedPolicy ParsePolicy(std::string_view text, const PolicyNames& names = PolicyNames::System());

// "/etc/dovecot/hosting.toml:12:9: expected ..."
std::string FormatProblem(std::string_view path, const Problem& problem);

// The keys that a table may have, for docs/packages.md, which a test holds against this. Tables:
// service, package, overage, pop3_retention, pop3_dele, account, external, user, protocols, text,
// access.
std::vector<std::string_view> PolicyKeys(std::string_view table);

}  // namespace hosting

// The part of the policy file that says how customers are warned of growth.
//
// Purpose: the keys warn_imap, warn_mail ... of packages, contact of accounts, and the table
// [warnings]. Ownership: values. Process and crash rules: none. Failure modes: problems go to the
// reader.
#pragma once

#include "quota/policy.h"
#include "quota/policy_reader.h"

namespace hosting {

// ann@example.com: printable ASCII that needs no quotes in a mail header, with one "@", 254
// characters at most (RFC 5321, 4.5.3.1.3).
bool IsPlainAddress(std::string_view text);
void ReadAddress(PolicyReader& reader, const TomlNode& node, std::string& address);
void ReadWarnings(PolicyReader& reader, const TomlNode& node, WarningOptions& options);

// warn_imap = false, of a package.
template <WarnWay way>
constexpr PolicyField<Package> WarnField() {
  return {kWarnWayKeys[way],
          [](PolicyReader& r, const TomlNode& n, Package& p) { r.Boolean(n, &p.warn[way]); }};
}

// Keys of the tables "warnings" and "warnings.text" (one language).
std::vector<std::string_view> WarningKeys(std::string_view table);

}  // namespace hosting

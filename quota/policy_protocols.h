// The part of the policy file that says who may use which protocol.
//
// Purpose: keys imap, pop3 ... of packages, accounts and users, and the table [protocols].
// Ownership: values. Process and crash rules: none. Failure modes: problems go to the reader.
#pragma once

#include "quota/policy.h"
#include "quota/policy_reader.h"

namespace hosting {

constexpr size_t kMaxNotice = 8000;  // bytes of a notice's text

// "deny", or { access = "deny", from = "2027-01-31" }.
void ReadAccess(PolicyReader& reader, const TomlNode& node, AccessRule& rule);
bool IsLanguage(std::string_view text);
// A language's name, such as "en" or "af-ZA".
void ReadLanguage(PolicyReader& reader, const TomlNode& node, std::string& language);
void ReadProtocols(PolicyReader& reader, const TomlNode& node, ProtocolOptions& options);

// Keys of the tables "protocols", "text" (one language) and "access".
std::vector<std::string_view> ProtocolKeys(std::string_view table);

// Days since 1970-01-01 of a date such as "2027-01-31"; nothing when it is none.
std::optional<uint32_t> ParseDay(std::string_view text);
std::string FormatDay(uint32_t day);

}  // namespace hosting

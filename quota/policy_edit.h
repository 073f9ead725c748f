// Changing one value of a policy file: the package of an account.
//
// Purpose: the text is edited where the value stands; comments, order and everything else stay as
// they are. Process rules: for doveadm, as root. Failure modes: kNotFound when the file has no such
// account or package; kInvalid when it has problems before or would have after. Crash rule: a file
// is replaced as a whole, flushed before its rename.
#pragma once

#include <string>
#include <string_view>

#include "quota/policy_file.h"
#include "quota/status.h"

namespace hosting {

// The text with another package for the account. The same text when it has that package.
Result<std::string> WithPackage(std::string_view text, const std::string& account,
                                const std::string& package,
                                const PolicyNames& names = PolicyNames::System());

// Replaces a file's content: same owner and mode; through symbolic links.
Status ReplaceFile(const std::string& path, std::string_view text);

}  // namespace hosting

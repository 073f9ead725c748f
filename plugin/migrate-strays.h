// Who works with a folder of mail, and how large it is: what `doveadm lbox migrate` asks the
// system.
//
// Failure modes: what cannot be read counts as not there. Needs root. No Dovecot header.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace lbox::migrate {

// Processes that have a file below `folder` open, or work in it; but those that have `mark` in
// their environment.
std::vector<pid_t> UsersOf(const std::string& folder, std::string_view mark);

// "imap (1234), lmtp (1235)"
std::string Shown(const std::vector<pid_t>& pids);

// Disk blocks of all that lies below a folder, in bytes. No link is followed.
uint64_t AllocatedBytes(const std::string& folder);

}  // namespace lbox::migrate

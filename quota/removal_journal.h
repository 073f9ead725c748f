// Which session removed or moved which message: the answer to "my emails went missing".
//
// Purpose: a bounded journal in a file of the mail user's own. Ownership: the file belongs to the
// mail user, mode 0600; nobody else reads it but root. Process rules: any number of processes
// append at once, under flock; a batch is one write. Failure modes: a line that is not whole is
// passed over. Crash rule: what was appended outlives the process; it is not flushed, so a power
// cut may take the last seconds. Bounded: `path` is renamed to `path`.old, over the one before, at
// kMaxJournalFile bytes or when its first entry is kJournalDays old; so at least that many days are
// there, unless so much is removed that two files of that size hold less.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "quota/status.h"

namespace hosting {

constexpr uint64_t kMaxJournalFile = 4 << 20;  // bytes
constexpr int kJournalDays = 30;

struct Removal {
  int64_t at = 0;                          // seconds since 1970 UTC
  std::string session, protocol, address;  // "": not known (doveadm)
  std::string rule;     // what removed it: "DELE", "expunge", "move", "retention", ...
  std::string mailbox;  // where it was
  uint32_t uid = 0;
  uint64_t size = 0;       // bytes of virtual size
  std::string to;          // where it went; "": it is gone
  std::string message_id;  // with its angle brackets, as the message has it
  friend bool operator==(const Removal&, const Removal&) = default;
};

// A line with its LF. Control characters of values become '?', long values are cut.
std::string EncodeRemoval(const Removal& removal);
// False: no such line. Values are cleaned like that once more: the file is its user's to write.
bool DecodeRemoval(std::string_view line, Removal* removal);

Status AppendRemovals(const std::string& path, std::span<const Removal> removals, int64_t now);
// Calls visit for each entry with at >= since, oldest first.
Status ForEachRemoval(const std::string& path, int64_t since,
                      const std::function<void(const Removal&)>& visit);

}  // namespace hosting

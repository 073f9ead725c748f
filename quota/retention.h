// When a message of a POP3 mailbox has stayed long enough.
//
// Purpose: the decision alone, for one message; hosting-retention.cc finds the messages and acts.
// Process and crash rules: none, no I/O; the time is passed in. When in doubt, mail stays.
#pragma once

#include <cstdint>
#include <optional>

#include "quota/pop3_rules.h"

namespace hosting {

// What is known of a message. Times are seconds since 1970 UTC.
struct MessageAge {
  int64_t delivered = 0;                // when it was saved here
  bool retrieved = false;               // POP3 has fetched it whole
  std::optional<int64_t> retrieved_at;  // none: never, or the storage does not keep it
  bool deferred = false;                // POP3 has deleted it, under pop3_dele means = "defer"
};

enum class Fate : uint8_t {
  kStays,
  kExpires,   // by pop3_retention
  kDeferred,  // the DELE that was put off comes into effect
};

Fate FateOf(const Pop3Rules& rules, const MessageAge& age, int64_t now);

// Of a message in the expiry folder: whether its time there is over.
bool IsPastExpiry(const Pop3Rules& rules, int64_t moved, int64_t now);

}  // namespace hosting

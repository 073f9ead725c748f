// What a package says of POP3 mail, for one user: how long it stays, what DELE means, where
// deliveries go.
//
// Purpose: the policy's answer for a user, and its way over the wire to the mail process that keeps
// to it. Ownership: values. Process and crash rules: none. No failure modes: what is missing or
// impossible on the wire leaves the default, which deletes nothing.
#pragma once

#include <optional>

#include "quota/policy.h"

namespace hosting {

namespace wire {
class Pop3;
}

struct Pop3Rules {
  std::optional<Retention> retention;  // none: mail stays
  Pop3Dele dele;
  bool imap = true;         // the user may use IMAP
  bool into_inbox = false;  // deliveries to other folders go to INBOX
  friend bool operator==(const Pop3Rules&, const Pop3Rules&) = default;
};

// Retention holds, unless with_imap says otherwise, for users without IMAP only; so does
// into_inbox.
Pop3Rules Pop3RulesOf(const Effective& effective);

void Fill(const Pop3Rules& from, wire::Pop3* to);
Pop3Rules Pop3RulesFrom(const wire::Pop3& from);

}  // namespace hosting

// What a package says of POP3 mail, for one user: how long it stays, what DELE means, where
// deliveries go.
//
// Purpose: the policy's answer for a user, and its way over the wire to the mail process that keeps
// to it. Ownership: values. Process and crash rules: none. No failure modes: what is missing or
// impossible on the wire leaves the default, which deletes nothing.
#pragma once

#include <optional>
#include <string>

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
  // Templates of notices (notice.h); empty: built in. Those of retention are in it.
  std::string removal_subject, removal_text, folders;
  friend bool operator==(const Pop3Rules&, const Pop3Rules&) = default;
};

// Retention holds, unless with_imap says otherwise, for users without IMAP only; so does
// into_inbox. Texts are those that options have in the account's language, else the package's, else
// those in the language of options.
Pop3Rules Pop3RulesOf(const Effective& effective,
                      const ProtocolOptions& options = ProtocolOptions());

// For people: "14 days after delivery, then in Expired for 30 days"; "none".
std::string RetentionText(const std::optional<Retention>& retention);
std::string DeleText(const Pop3Dele& dele);  // "defer for 14 days"

void Fill(const Pop3Rules& from, wire::Pop3* to);
Pop3Rules Pop3RulesFrom(const wire::Pop3& from);

}  // namespace hosting

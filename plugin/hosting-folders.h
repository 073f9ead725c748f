// Mailboxes that POP3 does not see, and moving messages between mailboxes.
#pragma once

#include <vector>

#include "plugin/hosting-user.h"
#include "quota/pop3_rules.h"

// Moves messages of an open mailbox to another one, which is made when missing, in batches; within
// a batch they are there before they go here. Flags, dates and GUIDs stay. once: a message of which
// the other mailbox has a copy (same GUID) is not brought again. Returns 0, or -1 with *error_r:
// what was moved before stays moved.
int hosting_move_messages(hosting_user& user, struct mailbox* from, const char* to,
                          const std::vector<uint32_t>& uids, bool once, uint64_t* moved_r,
                          std::string* error_r);

// A delivery to another mailbox of a user whose mail all goes to INBOX: the mailbox, not opened
// yet, becomes INBOX.
void hosting_redirect_delivery(struct mailbox* box);

// For the notice: a paragraph about mail in other mailboxes than INBOX; "" when there is none.
std::string hosting_folders_text(hosting_user& user, const hosting::Pop3Rules& rules);

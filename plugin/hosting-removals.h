// Messages that go: each is noted with the session and the rule that removed it, and a POP3 DELE
// does what the policy says.
//
// Purpose: hooks around a mailbox's transactions and a mail's expunge. Ownership: what a
// transaction removes is kept until it commits, then written to the journal of the mailbox's owner
// (quota/removal_journal.h), in one write. Failure modes: an entry that cannot be written is
// logged; mail is removed all the same. Crash rule: a process that dies between commit and write
// leaves a removal without entry.
#pragma once

#include <string>

#include "plugin/hosting-user.h"

// While one lives, what is removed is removed by this rule.
class hosting_removal_rule {
 public:
  explicit hosting_removal_rule(const char* rule);
  ~hosting_removal_rule();
  hosting_removal_rule(const hosting_removal_rule&) = delete;
  hosting_removal_rule& operator=(const hosting_removal_rule&) = delete;

 private:
  const char* before_;
};

// A file of the plugin's among the user's control files; "": there is no such folder.
std::string hosting_user_file(struct mail_user* user, const char* name);

constexpr char kRemovalJournalName[] = "hosting-removals";
constexpr char kPop3StateName[] = "hosting-pop3";

// POP3 sessions: what they fetched, and what their DELE means.
//
// Purpose: a message counts as retrieved once the last octet of RETR, or of a TOP that covered all
// of it, was sent and QUIT was answered. lbox keeps the time (lbox-retrieved.h), in one transaction
// a session; other storages get the keyword $POP3Retrieved where the package has a retention.
// Ownership: struct hosting_pop3_session belongs to its hosting_user. Process rules: one client a
// user; only in processes of the service pop3. Crash rule: a session that dies before its QUIT was
// answered has fetched nothing.
#pragma once

#include <set>

#include "plugin/hosting-user.h"

constexpr char kRetrievedKeyword[] = "$POP3Retrieved";
constexpr char kDeferredKeyword[] = "$POP3Deferred";
constexpr char kHiddenKeyword[] = "$POP3Deleted";  // Dovecot's own name for it

struct hosting_pop3_session {
  hosting::Pop3Rules rules;
  void (*destroy)(void* client, const char* reason) = nullptr;  // what was hooked
  struct mail* reading = nullptr;                               // by RETR or TOP
  struct istream* stream = nullptr;
  std::set<uint32_t> fetched;  // UIDs
  unsigned int deleted = 0;    // by DELE, for good
};

// Whether a DELE does not expunge this message now; then it is marked.
bool hosting_pop3_keeps(struct mail* mail);
// A stream of a message was opened; the mail is about to be closed.
void hosting_pop3_opened(struct mail* mail, struct istream* stream);
void hosting_pop3_closing(struct mail* mail);

// The rules as hosting-usage tells them now; those that delete nothing when it does not answer.
hosting::Pop3Rules hosting_pop3_rules(hosting_user& user);

// Seconds since 1970 UTC when POP3 fetched it. Returns 1 (0: never), 0 if the storage does not keep
// it, -1 on error.
int hosting_pop3_retrieved_at(struct mail* mail, int64_t* at_r);
// Whether a message has a keyword.
bool hosting_mail_has_keyword(struct mail* mail, const char* keyword);

// At the end of a session: what the rules ask for, in a bounded step, at most once an hour.
void hosting_retention_at_end(hosting_user& user);

// One mail user's part in a hosting account: the connection to hosting-usage, what changed in this
// session, and how the current check is to end.
//
// Purpose: figures for the quota backends (hosting-quota.cc), reports after changes. Ownership:
// made when Dovecot creates the user, freed with it; hangs off the mail_user. A connection that
// still waits for an answer then goes to hosting-linger.cc. Process rules: no connection before the
// first look-up or change; the uid is the mail user's by then. Failure modes: without the service
// mail is accepted on the last known figures (quota/usage_client.h), never delayed by more than
// hosting::kCallLimit. Crash rule: a process that dies after a change leaves its connection without
// Bye, upon which the service has the user recounted; so the connection is made before the change.
#pragma once

#include <memory>
#include <string>

#include "plugin/hosting-connection.h"
#include "plugin/hosting-series.h"

struct lda_settings;
struct hosting_pop3_session;

struct hosting_user {
  hosting_user();
  ~hosting_user();
  hosting_user(const hosting_user&) = delete;
  hosting_user& operator=(const hosting_user&) = delete;

  struct mail_user* user = nullptr;
  hosting_settings_values settings;
  struct event* event = nullptr;
  std::unique_ptr<hosting_connection> connection;  // none before the first need

  const struct lda_settings* delivery = nullptr;  // of a delivery to this user; else none
  std::optional<hosting::Demand> wanted;          // while a check runs: what is to be stored

  bool changed = false;    // since the last report
  hosting::Causes causes;  // since the last report
  struct timeout* to_report = nullptr;

  bool hooked = false;                  // test_alloc is ours (hosting-check.cc)
  void (*next_test_alloc)() = nullptr;  // what it was before, of the series' own type
  const char* default_text = nullptr;   // quota's text for a refusal
  std::optional<bool> ignores_any;      // a mailbox is left out of the quota root
  bool showing = false;                 // limits are asked for display, not for a check
  bool moving = false;                  // a message moves between mailboxes of the same roots
  bool noticing = false;                // a notice of the plugin's own is being delivered
  bool retaining = false;               // retention is at work
  bool storing = false;                 // a whole message is about to be stored
  bool later = false;                   // the last check refuses for now, not for good
  std::string text;                     // of the last refusal, printable ASCII

  std::unique_ptr<hosting_pop3_session> pop3;  // with a POP3 client (hosting-pop3.h)
};

// nullptr: the plugin has no part in this user (no quota root of its own).
hosting_user* hosting_user_of(struct mail_user* user);
// Whose quota a mailbox counts in: its owner's.
hosting_user* hosting_user_of_box(struct mailbox* box);

// The account's figures now, what this session changed included (within a check only if that
// matters).
hosting::Lookup hosting_user_figures(hosting_user& user);
// To be called before mail changes: makes sure that the service knows of this session.
void hosting_user_touch(hosting_user& user);
// After a change was committed. It is reported once the client has its answer, before the next
// look-up, or at the session's end.
void hosting_user_changed(hosting_user& user, int64_t bytes, struct mailbox* box);
// A message was refused, or (with report_only) would have been.
void hosting_user_refused(hosting_user& user, const char* root, const std::string& text,
                          uint64_t bytes, bool report_only);
// Reports what changed; nothing when nothing did.
void hosting_user_report(hosting_user& user);
// Reports this amount and waits until it is durable. Returns 1; 0 when the user is of no account;
// -1 with *error_r.
int hosting_user_report_now(hosting_user& user, const hosting::MailAmount& amount,
                            std::string* error_r);
// Before the user's namespaces go: last report.
void hosting_user_end(hosting_user& user);

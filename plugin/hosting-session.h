// Sessions of POP3, ManageSieve and submission by the policy's rules about protocols.
//
// Purpose: a session that has been let in ends when the policy changes so that it would no longer
// be; each decides for itself, since only it knows how it came in (exempt listener, master user,
// userdb fields). IMAP has imap-hosting.h for that, which can tell the reason. Ownership: a watch
// hangs off its mail user. Process rules: one stat() every kLookEvery, one question to
// hosting-usage after a change; a process with several sessions ends once all of them are denied.
// Failure modes: without an answer the session goes on and asks again; where the login table is out
// of reach (a chroot) nothing ends.
#pragma once

#include "plugin/hosting-dovecot.h"

// To be called for each mail user that is created.
void hosting_session_watch(struct mail_user* user);

// Deliveries by LMTP and dovecot-lda that are refused since an account is full: for now or for good
// is the policy's choice (over_limit_reply), which becomes Dovecot's quota_full_tempfail of the one
// delivery at hand, so that the answer is Dovecot's own: 452 4.2.2 in LMTP, exit status 75 in LDA.
//
// Ownership: the settings that are changed are Dovecot's copy for the recipient. Process rules:
// only processes that deliver have the hook; elsewhere there is nothing to do. Failure modes:
// without the hook (a plugin that took it over later) the caller refuses for now in another way.
#pragma once

#include "plugin/hosting-user.h"

// Before the user's first delivery.
void hosting_deliver_hook();
// The delivery at hand to this user is to be refused for now, should it be refused for want of
// space. Returns false where that cannot be had.
bool hosting_deliver_full_tempfail(hosting_user& user);

// How much mail a user has.
#pragma once

#include <string>

#include "plugin/hosting-quota.h"

// The user's whole mail, as its quota root counts it: from the lbox store's totals when that is all
// there is, otherwise the sum of Dovecot's mailbox sizes. Returns 1; 0 when it cannot be told in
// the middle of what is going on; -1 with *error_r.
int hosting_count(hosting_user& user, hosting::MailAmount* amount_r, std::string* error_r);

// How much mail a user has.
#pragma once

#include <string>

#include "plugin/hosting-quota.h"

// Whether an lbox store that is missing may be made for it.
enum class hosting_store { as_is, create };

// The user's whole mail, as its quota root counts it: from the lbox store's totals when that is all
// there is, otherwise the sum of Dovecot's mailbox sizes. An amount that is reported needs a store,
// since reports of different stores are not comparable. Returns 1; 0 when it cannot be told in the
// middle of what is going on; -1 with *error_r.
int hosting_count(hosting_user& user, hosting_store store, hosting::MailAmount* amount_r,
                  std::string* error_r);

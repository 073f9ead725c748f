// Comparing Dovecot's mailbox list and indexes with the store.
#pragma once

#include "plugin/lbox-mailbox.h"

extern "C" {
#include "plugin/lbox-admin.h"
}

// Tells calls.finding what is not in step even after a sync. The store must be good. Returns how
// many findings there were.
uint64_t lbox_compare_indexes(struct lbox_storage* storage, const struct lbox_admin_calls& calls);

// Forces every mailbox to be in step, after a repair. Each that could not be is told as a finding
// and counted in *findings_r.
void lbox_resync_all(struct lbox_storage* storage, const struct lbox_admin_calls& calls,
                     uint64_t* findings_r);

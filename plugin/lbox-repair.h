// Verifying and repairing a user's store: what doveadm lbox verify, doveadm lbox repair and doveadm
// force-resync have in common.
//
// The store's part is storage/verify.h and storage/repair.h, done in children; Dovecot's part,
// mailbox list and indexes, is done here afterwards.
#pragma once

#include "plugin/lbox-mailbox.h"

extern "C" {
#include "plugin/lbox-admin.h"
}

// Return 0, or -1 (error set). That something is wrong is no error.
int lbox_verify(struct lbox_storage* storage, struct mailbox_list* list, bool fast,
                const struct lbox_admin_calls& calls, struct lbox_admin_result* result_r);
int lbox_repair(struct lbox_storage* storage, struct mailbox_list* list,
                const struct lbox_admin_calls& calls, struct lbox_admin_result* result_r);
// For the first mailbox that is forced to be in step: looks through the whole store, once in this
// process, and logs what it did.
int lbox_repair_for_resync(struct lbox_mailbox* mbox);

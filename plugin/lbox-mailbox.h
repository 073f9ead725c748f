// Mailboxes: opening, creating, renaming, deleting, and the link between a Dovecot mailbox and its
// GUID in the store.
#pragma once

#include "plugin/lbox-storage.h"

extern "C" struct mailbox lbox_mailbox_class;

// Reads the "lbox-hdr" extension as `view` shows it. Returns false when it is not there (new or
// lost index).
bool lbox_mailbox_read_header(struct lbox_mailbox* mbox, struct mail_index_view* view,
                              struct lbox_index_header* hdr_r);
// Writes it in `trans`.
void lbox_mailbox_write_header(struct lbox_mailbox* mbox, struct mail_index_transaction* trans,
                               uint64_t change);

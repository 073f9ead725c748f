// Whether the counts of a mailbox that the mailbox list remembers (for STATUS) are those of now.
//
// Dovecot compares size and time of the mailbox's dovecot.index.log. That misses what a process
// committed to the store before it was killed, so the store's change counter is compared as well.
// Both return what struct mailbox_vfuncs says.
#pragma once

#include "plugin/dovecot.h"

extern "C" {
int lbox_list_index_has_changed(struct mailbox* box, struct mail_index_view* list_view,
                                uint32_t seq, bool quick, const char** reason_r) noexcept;
void lbox_list_index_update_sync(struct mailbox* box, struct mail_index_transaction* trans,
                                 uint32_t seq) noexcept;
}

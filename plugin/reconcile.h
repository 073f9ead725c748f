// Making an index the mirror of the store's rows again. Called under the index log's lock.
#pragma once

#include "plugin/lbox-sync.h"

// Adds to ctx->trans whatever it takes for the index to show `info` and its messages: headers,
// appends, expunges, flags, keywords. Messages that the index's next UID has overtaken get new UIDs
// (first in the store, then here). `info` is updated to what the store has afterwards. Returns 0,
// or -1 (error set).
int lbox_reconcile(struct lbox_sync_context* ctx, lbox::MailboxInfo* info);

// Lets the modseq of the index start above every modseq that was ever shown, before anything is
// added with it.
int lbox_reconcile_raise_modseq(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info);

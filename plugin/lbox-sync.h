// Keeping Dovecot's index and the store in step.
//
// The store is the truth; dovecot.index* is a cache with a log of what happened. Under the index
// log's lock every sync
//   1. applies what waits in the log (flags, keywords, expunges) to the store, idempotently and
//   durably;
//   2. compares the mailbox's change counter in the store with the one mirrored in the index
//   ("lbox-hdr"); when they differ (a process
//      died in between, the index was lost or replaced) it reconciles: rows missing from the index
//      enter it, what the store does not have leaves it, flags become the store's;
//   3. commits to the index.
// A crash between 1 and 3 is repaired by the next sync, by any process.
#pragma once

#include <vector>

#include "plugin/lbox-mailbox.h"

enum lbox_sync_flags {
  LBOX_SYNC_NONE = 0,
  LBOX_SYNC_FORCE = 0x01,  // take the lock even when nothing seems to have changed
  LBOX_SYNC_RECONCILE =
      0x02,  // compare everything, whatever the counters say (doveadm force-resync)
};

// A sync under way: the log is locked and `changes` has been read from it.
struct lbox_sync_context {
  struct lbox_mailbox* mbox;
  struct mail_index_sync_ctx* index_sync;
  struct mail_index_view* view;
  struct mail_index_transaction* trans;
  std::vector<lbox::Change> changes;    // to apply to the store
  std::vector<uint32_t> expunged_uids;  // asked to be expunged, existing in `view`
};

// Whether the index mirrors the store's mailbox as it is.
bool lbox_sync_in_step(struct lbox_mailbox* mbox, struct mail_index_view* view,
                       const lbox::MailboxInfo& info);
// Whole sync. Returns 0, or -1 (error set).
int lbox_sync(struct lbox_mailbox* mbox, enum lbox_sync_flags flags);
// Applies flag changes that wait in the log, if there are any. Errors are logged; the log keeps the
// changes.
void lbox_sync_pending_flags(struct lbox_mailbox* mbox);

// For saves: begins a sync whose index is in step with the change counter *change_r, as far as a
// reader of the store can tell. Returns 0 with *ctx_r, or -1.
int lbox_sync_begin_save(struct lbox_mailbox* mbox, struct lbox_sync_context** ctx_r,
                         uint64_t* change_r);
// Tells plugins and the index of what `ctx->changes` did, once the store has them.
void lbox_sync_applied(struct lbox_sync_context* ctx);
// Remembers sizes of what is about to be expunged, for plugins that ask after the rows are gone.
void lbox_sync_remember_sizes(struct lbox_sync_context* ctx);
int lbox_sync_finish(struct lbox_sync_context** ctx, bool success);

// Creates the mailbox's row (kept when there is one) and fills the index from it.
int lbox_sync_create(struct lbox_mailbox* mbox, const lbox::MailboxCreate& create);
// Updates row and index headers alike.
int lbox_sync_update(struct lbox_mailbox* mbox, const lbox::MailboxUpdate& update,
                     uint64_t min_highest_modseq);

extern "C" {
struct mailbox_sync_context* lbox_storage_sync_init(struct mailbox* box,
                                                    enum mailbox_sync_flags flags) noexcept;
int lbox_transaction_commit(struct mailbox_transaction_context* t,
                            struct mail_transaction_commit_changes* changes_r) noexcept;
}

// Saving: APPEND, delivery, import, and COPY within a store (metadata only).
//
// All saves and copies of one Dovecot transaction are one store transaction: staged while they come
// in, committed in transaction_save_commit_pre under the index log's lock, acknowledged after. What
// fails before that leaves nothing behind.
#pragma once

#include "plugin/lbox-storage.h"

// A message of the transaction that is not committed yet, as other code may ask for it.
struct lbox_saving_mail {
  const lbox::NewMessage* message;
  const lbox::StagedBody* staged;  // NULL for a copy
  lbox_mailbox_state::Sizes sizes;
};
// Returns false when `seq` is no message being saved in `t`.
bool lbox_save_lookup(struct mailbox_transaction_context* t, uint32_t seq,
                      struct lbox_saving_mail* mail_r);

extern "C" {
struct mail_save_context* lbox_save_alloc(struct mailbox_transaction_context* t) noexcept;
int lbox_save_begin(struct mail_save_context* ctx, struct istream* input) noexcept;
int lbox_save_continue(struct mail_save_context* ctx) noexcept;
int lbox_save_finish(struct mail_save_context* ctx) noexcept;
void lbox_save_cancel(struct mail_save_context* ctx) noexcept;
int lbox_copy(struct mail_save_context* ctx, struct mail* mail) noexcept;
int lbox_transaction_save_commit_pre(struct mail_save_context* ctx) noexcept;
void lbox_transaction_save_commit_post(
    struct mail_save_context* ctx, struct mail_index_transaction_commit_result* result_r) noexcept;
void lbox_transaction_save_rollback(struct mail_save_context* ctx) noexcept;
}

// What becomes of a save: accepted, refused, or refused for now, and in which words.
#pragma once

#include "plugin/hosting-quota.h"

// In place of quota's test_alloc for a message of `size` bytes; `next` is what came before
// (Dovecot's own, or the trash plugin's), called as next(context).
enum quota_alloc_result hosting_check(hosting_user& user, struct quota_transaction_context* ctx,
                                      uint64_t size, enum quota_alloc_result (*next)(void*),
                                      void* context, const char** error_r);

// Whether moving a message between these mailboxes is never refused: of one user, and the roots
// that count the one's namespace count the other's.
bool hosting_is_move_within(struct mailbox* from, struct mailbox* to);

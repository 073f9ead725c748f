/* When POP3 fetched which message of an lbox mailbox, for the plugins "hosting" and "pop3_hosting",
   which work with and without lbox and so look these functions up by name (dlsym) at run time.
   Plain C. */
#ifndef LBOX_RETRIEVED_H
#define LBOX_RETRIEVED_H

#include <stdint.h>

struct mail;
struct mailbox;

#define LBOX_SET_RETRIEVED_SYMBOL "lbox_hosting_set_retrieved"
#define LBOX_GET_RETRIEVED_SYMBOL "lbox_hosting_get_retrieved"

/* These messages were fetched whole at `time` (seconds since 1970 UTC); of those that were fetched
   before, the first time stays, and those that are gone are passed over. One transaction for each
   5,000. The mailbox is open. Returns 1, 0 if it is not lbox, -1 on error (set on the storage). */
typedef int lbox_set_retrieved_func_t(struct mailbox* box, const uint32_t* uids, unsigned int count,
                                      uint32_t time);
/* time_r 0: never. Returns 1, 0 if the mailbox is not lbox, -1 on error (set on the storage, or the
   mail marked expunged). */
typedef int lbox_get_retrieved_func_t(struct mail* mail, uint32_t* time_r);

#pragma GCC visibility push(default)
lbox_set_retrieved_func_t lbox_hosting_set_retrieved;
lbox_get_retrieved_func_t lbox_hosting_get_retrieved;
#pragma GCC visibility pop

#endif

/* What a user's lbox store holds, for the plugin "hosting", which works with and without lbox and
   so looks the function up by its name (dlsym) at run time. Plain C. */
#ifndef LBOX_TOTALS_H
#define LBOX_TOTALS_H

#include <stdint.h>

struct mail_storage;
struct mailbox_list;

#define LBOX_TOTALS_SYMBOL "lbox_hosting_totals"

struct lbox_totals {
  uint8_t store[16];    /* the store's UUID; zeros: there is none yet */
  uint64_t transaction; /* orders the totals of one store */
  uint64_t messages;
  uint64_t virtual_bytes; /* with CRLF line ends */
  uint64_t disk_bytes;    /* compressed */
};

/* Returns 1 with the totals, 0 if the storage is not lbox, -1 on error
   (set on the storage). create: a store that is missing is made, so that
   it has a UUID. */
typedef int lbox_totals_func_t(struct mail_storage* storage, struct mailbox_list* list, int create,
                               struct lbox_totals* totals_r);

#pragma GCC visibility push(default)
lbox_totals_func_t lbox_hosting_totals;
#pragma GCC visibility pop

#endif

/* What the doveadm module may ask of the driver. Only the mail plugin links the store (two copies
   in a process would be two registries of open stores), so it exports this table and
   lib20_doveadm_lbox_plugin.so calls through it. Plain C. */
#ifndef LBOX_ADMIN_H
#define LBOX_ADMIN_H

#include <stdint.h>

struct mail_storage;
struct mailbox_list;

struct lbox_admin_status {
  const char* path; /* of the store; valid as long as the storage */
  uint64_t mailboxes, messages;
  uint64_t logical_bytes; /* with CRLF line ends */
  uint64_t stored_bytes;  /* compressed, each body once */
  uint64_t dead_bytes;    /* in packs, not freed yet */
  uint64_t allocated_bytes;
  uint64_t packs, large_bodies;
  uint64_t index_bytes, index_free_bytes;
  uint64_t map_bytes, map_limit_bytes; /* limit 0: none */
  uint32_t format;
  uint64_t generation;
};

struct lbox_admin_table {
  /* Returns 1 with the status, 0 if the storage is not lbox, -1 on
     error (set on the storage). */
  int (*status)(struct mail_storage* storage, struct mailbox_list* list,
                struct lbox_admin_status* status_r);
};

#pragma GCC visibility push(default)
extern const struct lbox_admin_table lbox_admin_table;
#pragma GCC visibility pop

#endif

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

/* One thing that verifying found wrong. */
struct lbox_admin_finding {
  const char* kind; /* "index", "counts", "message", "dead space", "unreadable", "spare", "orphan",
                       "dovecot index", "mailbox list": docs/operations.md */
  const char* mailbox; /* "" when it is not about one */
  const char* guid;    /* of the message, hex; "" */
  uint32_t uid;        /* 0: none */
  const char* text;
};

/* Called on the way. */
struct lbox_admin_calls {
  void* context;
  void (*finding)(void* context, const struct lbox_admin_finding* finding);
  void (*line)(void* context, const char* line);                        /* what a repair did */
  void (*progress)(void* context, uint64_t done, uint64_t total_bytes); /* total 0: not known yet */
};

struct lbox_admin_result {
  const char* path; /* of the store; valid as long as the storage */
  uint64_t mailboxes, messages, packs;
  uint64_t bytes;    /* of packs and large bodies */
  uint64_t findings; /* orphans not counted; of repair: that are left */
  uint64_t lost;     /* messages, by a repair */
  unsigned int repaired : 1;
};

struct lbox_admin_table {
  /* Returns 1 with the status, 0 if the storage is not lbox, -1 on
     error (set on the storage). */
  int (*status)(struct mail_storage* storage, struct mailbox_list* list,
                struct lbox_admin_status* status_r);
  /* Likewise. That something is wrong is no error: see result_r->findings. fast: no hashes of
     bodies. */
  int (*verify)(struct mail_storage* storage, struct mailbox_list* list, int fast,
                const struct lbox_admin_calls* calls, struct lbox_admin_result* result_r);
  int (*repair)(struct mail_storage* storage, struct mailbox_list* list,
                const struct lbox_admin_calls* calls, struct lbox_admin_result* result_r);
};

#pragma GCC visibility push(default)
extern const struct lbox_admin_table lbox_admin_table;
#pragma GCC visibility pop

#endif

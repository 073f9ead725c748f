#include <cstring>

#include "plugin/guard.h"
#include "plugin/lbox-repair.h"
#include "plugin/lbox-storage.h"
#include "plugin/series.h"

extern "C" {
#include "plugin/lbox-admin.h"

static int lbox_admin_get_status(struct mail_storage* _storage, struct mailbox_list* list,
                                 struct lbox_admin_status* status_r) noexcept {
  if (strcmp(_storage->name, LBOX_STORAGE_NAME) != 0) {
    return 0;
  }
  return lbox_guard(_storage, -1, [&] {
    struct lbox_storage* storage = LBOX_STORAGE(_storage);
    if (lbox_storage_open(storage, list) < 0) {
      return -1;
    }
    const auto status = storage->state->store->GetStatus();
    if (!status.ok()) {
      return lbox_fail(_storage, _storage->event, status.status());
    }
    *status_r = {
        .path = storage->state->path.c_str(),
        .mailboxes = status->mailboxes,
        .messages = status->messages,
        .logical_bytes = status->virtual_bytes,
        .stored_bytes = status->stored_bytes,
        .dead_bytes = status->dead_bytes,
        .allocated_bytes = status->allocated_bytes,
        .packs = status->packs,
        .large_bodies = status->large_bodies,
        .index_bytes = status->index_bytes,
        .index_free_bytes = status->index_free_bytes,
        .map_bytes = status->map_bytes,
        .map_limit_bytes = status->map_limit_bytes == UINT64_MAX ? 0 : status->map_limit_bytes,
        .format = status->format,
        .generation = status->generation,
    };
    return 1;
  });
}

static int lbox_admin_verify(struct mail_storage* storage, struct mailbox_list* list, int fast,
                             const struct lbox_admin_calls* calls,
                             struct lbox_admin_result* result_r) noexcept {
  if (strcmp(storage->name, LBOX_STORAGE_NAME) != 0) {
    return 0;
  }
  return lbox_guard(storage, -1, [&] {
    return lbox_verify(LBOX_STORAGE(storage), list, fast != 0, *calls, result_r) < 0 ? -1 : 1;
  });
}

static int lbox_admin_repair(struct mail_storage* storage, struct mailbox_list* list,
                             const struct lbox_admin_calls* calls,
                             struct lbox_admin_result* result_r) noexcept {
  if (strcmp(storage->name, LBOX_STORAGE_NAME) != 0) {
    return 0;
  }
  return lbox_guard(storage, -1, [&] {
    return lbox_repair(LBOX_STORAGE(storage), list, *calls, result_r) < 0 ? -1 : 1;
  });
}

const struct lbox_admin_table lbox_admin_table = {
    .status = lbox_admin_get_status,
    .verify = lbox_admin_verify,
    .repair = lbox_admin_repair,
};

}  // extern "C"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "plugin/guard.h"
#include "plugin/lbox-storage.h"
#include "plugin/series.h"

extern "C" {
#include "plugin/lbox-totals.h"

int lbox_hosting_totals(struct mail_storage* _storage, struct mailbox_list* list, int create,
                        struct lbox_totals* totals_r) {
  if (strcmp(_storage->name, LBOX_STORAGE_NAME) != 0) {
    return 0;
  }
  return lbox_guard(_storage, -1, [&] {
    struct lbox_storage* storage = LBOX_STORAGE(_storage);
    i_zero(totals_r);
    if (storage->state->store == nullptr) {
      if (create == 0 && access(storage->state->path.c_str(), F_OK) < 0 && errno == ENOENT) {
        return 1;
      }
      if (lbox_storage_open(storage, list) < 0) {
        return -1;
      }
    }
    const auto totals = storage->state->store->GetTotals();
    if (!totals.ok()) {
      return lbox_fail(_storage, _storage->event, totals.status());
    }
    std::copy(totals->uuid.bytes.begin(), totals->uuid.bytes.end(), totals_r->store);
    totals_r->transaction = totals->transaction;
    totals_r->messages = totals->messages;
    totals_r->virtual_bytes = totals->virtual_bytes;
    totals_r->disk_bytes = totals->disk_bytes;
    return 1;
  });
}

}  // extern "C"

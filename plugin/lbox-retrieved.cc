#include <cstring>
#include <vector>

#include "plugin/guard.h"
#include "plugin/lbox-mailbox.h"
#include "plugin/series.h"

extern "C" {
#include "plugin/lbox-retrieved.h"

int lbox_hosting_set_retrieved(struct mailbox* box, const uint32_t* uids, unsigned int count,
                               uint32_t time) {
  if (strcmp(box->storage->name, LBOX_STORAGE_NAME) != 0) {
    return 0;
  }
  return lbox_guard(box->storage, -1, [&] {
    struct lbox_mailbox* mbox = LBOX_MAILBOX(box);
    std::vector<lbox::Change> changes;
    for (unsigned int i = 0; i < count; ++i) {
      const auto row = lbox_store(mbox).Lookup(mbox->state->guid, uids[i]);
      if (row.ok() && row->retrieved == 0) {
        lbox::Change& change = changes.emplace_back();
        change.kind = lbox::Change::Kind::kRetrieved;
        change.uid1 = change.uid2 = uids[i];
        change.time = time;
      }
    }
    if (changes.empty()) {
      return 1;
    }
    const auto applied = lbox_store(mbox).Apply(mbox->state->guid, changes);
    return applied.ok() ? 1 : lbox_fail(box->storage, box->event, applied.status());
  });
}

int lbox_hosting_get_retrieved(struct mail* mail, uint32_t* time_r) {
  if (strcmp(mail->box->storage->name, LBOX_STORAGE_NAME) != 0) {
    return 0;
  }
  return lbox_guard(mail->box->storage, -1, [&] {
    struct lbox_mailbox* mbox = LBOX_MAILBOX(mail->box);
    const auto row = lbox_store(mbox).Lookup(mbox->state->guid, mail->uid);
    if (!row.ok()) {
      return lbox_fail_mail(mail, row.status());
    }
    *time_r = row->retrieved;
    return 1;
  });
}

}  // extern "C"

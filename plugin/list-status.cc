#include "plugin/list-status.h"

#include <cstring>

#include "plugin/guard.h"
#include "plugin/lbox-mailbox.h"

namespace {

// Record extension "lbox" of dovecot.list.index: the mailbox, and its change counter when the
// counts beside it were taken.
using ListRecord = struct lbox_index_header;

uint32_t extension(struct mail_index_view* list_view) {
  return mail_index_ext_register(mail_index_view_get_index(list_view), "lbox", 0,
                                 sizeof(ListRecord), sizeof(uint64_t));
}

// Returns false when there is none.
bool read_record(struct mail_index_view* list_view, uint32_t seq, ListRecord* record_r) {
  const void* data = nullptr;
  bool expunged = false;
  mail_index_lookup_ext(list_view, seq, extension(list_view), &data, &expunged);
  if (data == nullptr || expunged) {
    return false;
  }
  memcpy(record_r, data, sizeof(*record_r));
  return !guid_128_is_empty(record_r->mailbox_guid);
}

// Also true when it cannot be known: opening the mailbox then tells why.
bool has_changed(struct mailbox* box, struct mail_index_view* list_view, uint32_t seq) {
  struct lbox_storage* storage = LBOX_STORAGE(box->storage);
  ListRecord record;
  if (!read_record(list_view, seq, &record) || lbox_storage_open(storage, box->list) < 0) {
    return true;
  }
  const auto info = storage->state->store->GetMailbox(lbox_guid_from(record.mailbox_guid));
  return !info.ok() || info->change != record.change;
}

void update(struct mailbox* box, struct mail_index_transaction* trans, uint32_t seq) {
  struct mail_index_view* list_view = mail_index_transaction_get_view(trans);
  if (mail_index_is_in_memory(mail_index_view_get_index(list_view))) {
    return;
  }
  ListRecord record{};
  struct mail_index_view* view = mail_index_view_open(box->index);
  const bool known = lbox_mailbox_read_header(LBOX_MAILBOX(box), view, &record);
  mail_index_view_close(&view);
  ListRecord old;
  if (known && (!read_record(list_view, seq, &old) || memcmp(&old, &record, sizeof(old)) != 0)) {
    mail_index_update_ext(trans, seq, extension(list_view), &record, nullptr);
  }
}

}  // namespace

extern "C" {

int lbox_list_index_has_changed(struct mailbox* box, struct mail_index_view* list_view,
                                uint32_t seq, bool quick, const char** reason_r) noexcept {
  const int ret = index_storage_list_index_has_changed(box, list_view, seq, quick, reason_r);
  if (ret != 0 || box->storage->set->mailbox_list_index_very_dirty_syncs) {
    return ret;
  }
  return lbox_guard(box->storage, -1, [&] {
    if (!has_changed(box, list_view, seq)) {
      return 0;
    }
    *reason_r = "the store has changed";
    return 1;
  });
}

void lbox_list_index_update_sync(struct mailbox* box, struct mail_index_transaction* trans,
                                 uint32_t seq) noexcept {
  index_storage_list_index_update_sync(box, trans, seq);
  lbox_guard(box->storage, 0, [&] {
    update(box, trans, seq);
    return 0;
  });
}

}  // extern "C"

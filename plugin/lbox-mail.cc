// Reading messages: what Dovecot's cache does not know comes from the message's row, bodies
// from the store's packs.
#include <cstdio>
#include <cstring>
#include <string>

#include "plugin/guard.h"
#include "plugin/lbox-mailbox.h"
#include "plugin/lbox-save.h"
#include "plugin/lbox-streams.h"

namespace {

struct index_mail* imail_of(struct mail* mail) {
  return reinterpret_cast<struct index_mail*>(mail);
}

// What a row has is not worth a place in Dovecot's cache: adding it to a message whose body is read
// costs more (two locks, three writes) than reading the body.
constexpr auto kFieldsOfTheRow =
    static_cast<enum mail_fetch_field>(MAIL_FETCH_VIRTUAL_SIZE | MAIL_FETCH_PHYSICAL_SIZE |
                                       MAIL_FETCH_RECEIVED_DATE | MAIL_FETCH_SAVE_DATE);

// The row of a saved message, good until the next one is looked up. Returns 0 or -1 (error set, or
// the mail marked expunged).
int lookup_row(struct mail* mail, const lbox::RowWindow::Row** row_r) {
  struct lbox_mailbox* mbox = LBOX_MAILBOX(mail->box);
  auto& dont_cache = imail_of(mail)->data.dont_cache_fetch_fields;
  dont_cache = static_cast<enum mail_fetch_field>(dont_cache | kFieldsOfTheRow);
  // A row costs no more than Dovecot's cache. Who asks for nothing that the cache has not gets it,
  // too, and must not be told that it was slow.
  if (mail->lookup_abort < MAIL_LOOKUP_ABORT_NOT_IN_CACHE) {
    mail->mail_metadata_accessed = true;
  }
  const auto row = mbox->state->rows.Get(lbox_store(mbox), mbox->state->guid, mail->uid);
  if (!row.ok()) {
    return lbox_fail_mail(mail, row.status());
  }
  *row_r = *row;
  return 0;
}

bool find_saving(struct mail* mail, struct lbox_saving_mail* saving_r) {
  return mail->saving && lbox_save_lookup(mail->transaction, mail->seq, saving_r);
}

// A copy that is not committed yet reads as its source.
int open_saving(struct mail* mail, const struct lbox_saving_mail& saving,
                std::unique_ptr<lbox::BodyReader>* reader_r) {
  lbox::Store& store = lbox_store(LBOX_MAILBOX(mail->box));
  auto reader = saving.staged != nullptr
                    ? store.OpenStaged(*saving.staged)
                    : store.OpenBody(saving.message->source_mailbox, saving.message->source_uid);
  if (!reader.ok()) {
    return lbox_fail_mail(mail, reader.status());
  }
  *reader_r = std::move(*reader);
  return 0;
}

// Sizes from wherever they are known without reading the message. Returns 1 if known, 0 if the
// caller must read it, -1 on error.
int lookup_sizes(struct mail* mail, lbox_mailbox_state::Sizes* sizes_r) {
  struct lbox_saving_mail saving;
  if (find_saving(mail, &saving)) {
    *sizes_r = saving.sizes;
    return 1;
  }
  if (mail->saving) {
    return 0;
  }
  const auto& dying = LBOX_MAILBOX(mail->box)->state->dying;
  if (const auto it = dying.find(mail->uid); it != dying.end()) {
    *sizes_r = it->second;
    return 1;
  }
  const lbox::RowWindow::Row* row = nullptr;
  if (lookup_row(mail, &row) < 0) {
    return -1;
  }
  *sizes_r = {row->message.physical_size, row->message.virtual_size};
  return 1;
}

// A body that is asked for is verified before the client is promised its size: a damaged message is
// a NO, not a broken answer.
int open_stream(struct mail* mail, bool get_body) {
  struct index_mail* imail = imail_of(mail);
  if (mail->lookup_abort != MAIL_LOOKUP_ABORT_NEVER) {
    mail_set_aborted(mail);
    return -1;
  }
  mail->mail_stream_accessed = true;
  std::unique_ptr<lbox::BodyReader> reader;
  struct lbox_saving_mail saving;
  if (find_saving(mail, &saving)) {
    if (open_saving(mail, saving, &reader) < 0) {
      return -1;
    }
  } else {
    struct lbox_mailbox* mbox = LBOX_MAILBOX(mail->box);
    auto opened = lbox_store(mbox).OpenBody(
        mbox->state->guid, mail->uid, get_body ? lbox::BodyPart::kAll : lbox::BodyPart::kHeader);
    if (!opened.ok()) {
      return lbox_fail_mail(mail, opened.status());
    }
    reader = std::move(*opened);
    if (const lbox::Status status = get_body ? reader->Verify() : lbox::Status(); !status.ok()) {
      return lbox_fail_mail(mail, status);
    }
  }
  mail->transaction->stats.open_lookup_count++;
  struct istream* input = lbox_istream_create(std::move(reader));
  i_stream_set_name(input, t_strdup_printf("lbox %s UID %u", mail->box->vname, mail->uid));
  if (imail->mail.v.istream_opened != nullptr && imail->mail.v.istream_opened(mail, &input) < 0) {
    i_stream_unref(&input);
    return -1;
  }
  imail->data.stream = input;
  index_mail_set_read_buffer_size(mail, input);
  return 0;
}

const char* guid_text(const lbox::Guid& guid, const std::string& original,
                      struct index_mail* imail) {
  return p_strdup(imail->mail.data_pool,
                  original.empty() ? lbox::ToHex(guid).c_str() : original.c_str());
}

int get_special(struct mail* mail, enum mail_fetch_field field, const char** value_r) {
  struct index_mail* imail = imail_of(mail);
  const lbox::RowWindow::Row* found = nullptr;
  lbox::RowWindow::Row unsaved;
  struct lbox_saving_mail saving;
  if (find_saving(mail, &saving)) {
    unsaved.message.guid = saving.message->guid;
    unsaved.extra.original_guid = saving.message->original_guid;
    unsaved.extra.pop3_uidl = saving.message->pop3_uidl;
    unsaved.extra.pop3_order = saving.message->pop3_order;
    found = &unsaved;
    if (field != MAIL_FETCH_GUID && field != MAIL_FETCH_UIDL_BACKEND &&
        field != MAIL_FETCH_POP3_ORDER) {
      *value_r = "";  // not stored yet
      return 0;
    }
  } else if (lookup_row(mail, &found) < 0) {
    return -1;
  }
  const lbox::Message& row = found->message;
  const lbox::MessageExtra& extra = found->extra;
  switch (field) {
    case MAIL_FETCH_GUID:
      *value_r = guid_text(row.guid, extra.original_guid, imail);
      break;
    case MAIL_FETCH_UIDL_BACKEND:
      *value_r = p_strdup(imail->mail.data_pool, extra.pop3_uidl.c_str());
      break;
    case MAIL_FETCH_POP3_ORDER:
      *value_r = extra.pop3_order == 0
                     ? ""
                     : p_strdup_printf(imail->mail.data_pool, "%u", extra.pop3_order);
      break;
    case MAIL_FETCH_REFCOUNT: {
      struct lbox_mailbox* mbox = LBOX_MAILBOX(mail->box);
      const auto references = lbox_store(mbox).References(mbox->state->guid, mail->uid);
      if (!references.ok()) {
        return lbox_fail_mail(mail, references.status());
      }
      *value_r = p_strdup_printf(imail->mail.data_pool, "%u", *references);
      break;
    }
    default:  // MAIL_FETCH_STORAGE_ID, MAIL_FETCH_REFCOUNT_ID
      *value_r = p_strdup_printf(imail->mail.data_pool, "%llx",
                                 static_cast<unsigned long long>(row.body_id));
      break;
  }
  return 0;
}

extern "C" {

static int lbox_mail_get_received_date(struct mail* mail, time_t* date_r) noexcept {
  if (index_mail_get_received_date(mail, date_r) == 0) {
    return 0;
  }
  return lbox_guard(mail->box->storage, -1, [&] {
    struct lbox_saving_mail saving;
    const lbox::RowWindow::Row* row = nullptr;
    const bool saved = !find_saving(mail, &saving);
    if (saved && lookup_row(mail, &row) < 0) {
      return -1;
    }
    *date_r = imail_of(mail)->data.received_date =
        static_cast<time_t>(saved ? row->message.received : saving.message->received);
    return 0;
  });
}

static int lbox_mail_get_save_date(struct mail* mail, time_t* date_r) noexcept {
  if (index_mail_get_save_date(mail, date_r) > 0) {
    return 1;
  }
  return lbox_guard(mail->box->storage, -1, [&] {
    struct lbox_saving_mail saving;
    const lbox::RowWindow::Row* row = nullptr;
    const bool saved = !find_saving(mail, &saving);
    if (saved && lookup_row(mail, &row) < 0) {
      return -1;
    }
    *date_r = imail_of(mail)->data.save_date =
        static_cast<time_t>(saved ? row->message.saved : saving.message->saved);
    return 1;
  });
}

static int lbox_mail_get_virtual_size(struct mail* mail, uoff_t* size_r) noexcept {
  struct index_mail* imail = imail_of(mail);
  if (index_mail_get_cached_virtual_size(imail, size_r)) {
    return 0;
  }
  return lbox_guard(mail->box->storage, -1, [&] {
    lbox_mailbox_state::Sizes sizes{};
    const int ret = lookup_sizes(mail, &sizes);
    if (ret < 0) {
      return -1;
    }
    if (ret == 0) {
      return index_mail_get_virtual_size(mail, size_r);
    }
    *size_r = imail->data.virtual_size = sizes.virtual_;
    return 0;
  });
}

static int lbox_mail_get_physical_size(struct mail* mail, uoff_t* size_r) noexcept {
  if (index_mail_get_physical_size(mail, size_r) == 0) {
    return 0;
  }
  return lbox_guard(mail->box->storage, -1, [&] {
    lbox_mailbox_state::Sizes sizes{};
    const int ret = lookup_sizes(mail, &sizes);
    if (ret <= 0) {
      return -1;
    }
    *size_r = imail_of(mail)->data.physical_size = sizes.physical;
    return 0;
  });
}

static int lbox_mail_get_stream(struct mail* mail, bool get_body, struct message_size* hdr_size,
                                struct message_size* body_size,
                                struct istream** stream_r) noexcept {
  struct index_mail* imail = imail_of(mail);
  if (imail->data.stream == nullptr &&
      lbox_guard(mail->box->storage, -1, [&] { return open_stream(mail, get_body); }) < 0) {
    return -1;
  }
  return index_mail_init_stream(imail, hdr_size, body_size, stream_r);
}

static int lbox_mail_get_special(struct mail* mail, enum mail_fetch_field field,
                                 const char** value_r) noexcept {
  switch (field) {
    case MAIL_FETCH_GUID:
    case MAIL_FETCH_UIDL_BACKEND:
    case MAIL_FETCH_POP3_ORDER:
    case MAIL_FETCH_STORAGE_ID:
    case MAIL_FETCH_REFCOUNT:
    case MAIL_FETCH_REFCOUNT_ID:
      return lbox_guard(mail->box->storage, -1, [&] { return get_special(mail, field, value_r); });
    default:
      return index_mail_get_special(mail, field, value_r);
  }
}

static void lbox_mail_update_pop3_uidl(struct mail* mail, const char* uidl) noexcept {
  lbox_guard(mail->box->storage, 0, [&] {
    struct lbox_mailbox* mbox = LBOX_MAILBOX(mail->box);
    lbox::Change change;
    change.kind = lbox::Change::Kind::kPop3Uidl;
    change.uid1 = change.uid2 = mail->uid;
    change.text = uidl;
    mbox->state->rows.Clear();
    const auto applied = lbox_store(mbox).Apply(mbox->state->guid, {&change, 1});
    return applied.ok() ? 0 : lbox_fail_mail(mail, applied.status());
  });
}

static void lbox_mail_expunge(struct mail* mail) noexcept {
  // The index calls a commit's wish to expunge just another change.
  LBOX_MAILBOX(mail->box)->state->expunges_requested++;
  index_mail_expunge(mail);
}

struct mail_vfuncs lbox_mail_vfuncs_table() {
  struct mail_vfuncs v {};
  v.close = index_mail_close;
  v.free = index_mail_free;
  v.set_seq = index_mail_set_seq;
  v.set_uid = index_mail_set_uid;
  v.set_uid_cache_updates = index_mail_set_uid_cache_updates;
  v.prefetch = index_mail_prefetch;
  v.precache = index_mail_precache;
  v.add_temp_wanted_fields = index_mail_add_temp_wanted_fields;
  v.get_flags = index_mail_get_flags;
  v.get_keywords = index_mail_get_keywords;
  v.get_keyword_indexes = index_mail_get_keyword_indexes;
  v.get_modseq = index_mail_get_modseq;
  v.get_pvt_modseq = index_mail_get_pvt_modseq;
  v.get_parts = index_mail_get_parts;
  v.get_date = index_mail_get_date;
  v.get_received_date = lbox_mail_get_received_date;
  v.get_save_date = lbox_mail_get_save_date;
  v.get_virtual_size = lbox_mail_get_virtual_size;
  v.get_physical_size = lbox_mail_get_physical_size;
  v.get_first_header = index_mail_get_first_header;
  v.get_headers = index_mail_get_headers;
  v.get_header_stream = index_mail_get_header_stream;
  v.get_stream = lbox_mail_get_stream;
  v.get_binary_stream = index_mail_get_binary_stream;
  v.get_special = lbox_mail_get_special;
  v.get_backend_mail = index_mail_get_backend_mail;
  v.update_flags = index_mail_update_flags;
  v.update_keywords = index_mail_update_keywords;
  v.update_modseq = index_mail_update_modseq;
  v.update_pvt_modseq = index_mail_update_pvt_modseq;
  v.update_pop3_uidl = lbox_mail_update_pop3_uidl;
  v.expunge = lbox_mail_expunge;
  v.set_cache_corrupted = index_mail_set_cache_corrupted;
  v.istream_opened = index_mail_opened;
  return v;
}

}  // extern "C"

}  // namespace

struct mail_vfuncs lbox_mail_vfuncs = lbox_mail_vfuncs_table();

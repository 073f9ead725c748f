#include "plugin/lbox-mailbox.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "plugin/abandoned-lock.h"
#include "plugin/durable-dirs.h"
#include "plugin/guard.h"
#include "plugin/guid-file.h"
#include "plugin/lbox-save.h"
#include "plugin/lbox-sync.h"
#include "plugin/list-status.h"
#include "plugin/series.h"

bool lbox_mailbox_read_header(struct lbox_mailbox* mbox, struct mail_index_view* view,
                              struct lbox_index_header* hdr_r) {
  const void* data = nullptr;
  size_t size = 0;
  mail_index_get_header_ext(view, mbox->hdr_ext_id, &data, &size);
  if (size < sizeof(*hdr_r)) {
    return false;
  }
  memcpy(hdr_r, data, sizeof(*hdr_r));
  return !guid_128_is_empty(hdr_r->mailbox_guid);
}

void lbox_mailbox_write_header(struct lbox_mailbox* mbox, struct mail_index_transaction* trans,
                               uint64_t change) {
  struct lbox_index_header hdr {};
  memcpy(hdr.mailbox_guid, mbox->state->guid.bytes.data(), sizeof(hdr.mailbox_guid));
  hdr.change = change;
  mail_index_update_header_ext(trans, mbox->hdr_ext_id, 0, &hdr, sizeof(hdr));
}

namespace {

int check_existence(struct mailbox* box) {
  const char* path = nullptr;
  struct stat st;
  if (lbox_series_iter_from_index_dir(box->list)) {
    if (mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_INDEX, &path) < 0) {
      return -1;
    }
    path = t_strconcat(path, "/", box->index_prefix, ".log", nullptr);
    if (stat(path, &st) == 0) {
      return 0;
    }
  }
  path = mailbox_get_path(box);
  if (stat(path, &st) == 0) {
    return 0;
  }
  if (errno == ENOENT || errno == ENAMETOOLONG || errno == ENOTDIR) {
    mail_storage_set_error(box->storage, MAIL_ERROR_NOTFOUND,
                           T_MAIL_ERR_MAILBOX_NOT_FOUND(box->vname));
  } else {
    mailbox_set_critical(box, "stat(%s) failed: %m", path);
  }
  return -1;
}

// Finds the GUID where it is kept: the index, or what outlives the index. Returns 1 if found, 0 if
// not, -1 on error.
int find_guid(struct lbox_mailbox* mbox, lbox::Guid* guid_r) {
  struct lbox_index_header hdr;
  if (lbox_mailbox_read_header(mbox, mbox->box.view, &hdr)) {
    *guid_r = lbox_guid_from(hdr.mailbox_guid);
    return 1;
  }
  return lbox_guid_file_read(&mbox->box, guid_r);
}

// Makes the mailbox's row in the store unless it exists, and brings the index in step. `update` may
// be NULL.
int create_indexes(struct lbox_mailbox* mbox, const struct mailbox_update* update) {
  struct mailbox* box = &mbox->box;
  lbox::Guid guid;
  const int ret = find_guid(mbox, &guid);
  if (ret < 0) {
    return -1;
  }
  if (update != nullptr && !guid_128_is_empty(update->mailbox_guid)) {
    guid = lbox_guid_from(update->mailbox_guid);
    if (lbox_guid_file_write(box, guid) < 0) {
      return -1;
    }
  } else if (ret == 0) {
    guid_128_t generated;
    guid_128_generate(generated);
    guid = lbox_guid_from(generated);
    if (lbox_guid_file_claim(box, &guid) < 0) {
      return -1;
    }
  } else if (lbox_guid_file_write(box, guid) < 0) {  // found in the index alone, perhaps
    return -1;
  }
  mbox->state->guid = guid;

  lbox::MailboxCreate create;
  create.guid = guid;
  if (lbox_store(mbox).GetMailbox(guid).ok()) {
    return lbox_sync(mbox, LBOX_SYNC_FORCE);  // only Dovecot's files are made anew
  }
  create.name = lbox_mailbox_store_name(box);
  if (update != nullptr) {
    create.uid_validity = update->uid_validity;
    create.next_uid = std::max(update->min_next_uid, 1U);
    create.first_recent_uid = std::max(update->min_first_recent_uid, 1U);
    create.modseq_ceiling = update->min_highest_modseq;
  }
  auto directories = lbox_parents_up_to(
      mailbox_get_path(box), mailbox_list_get_root_forced(box->list, MAILBOX_LIST_PATH_TYPE_DIR));
  if (create.uid_validity == 0) {
    const char* dir = mailbox_list_get_root_forced(box->list, MAILBOX_LIST_PATH_TYPE_CONTROL);
    create.uid_validity =
        mailbox_uidvalidity_next(box->list, t_strconcat(dir, "/lbox-uidvalidity", nullptr));
    if (std::find(directories.begin(), directories.end(), dir) == directories.end()) {
      directories.emplace_back(dir);
    }
  }
  // Durable after this: the mailbox's directory, and the name of the file that holds the last
  // UIDVALIDITY given out. Its row comes after.
  if (const lbox::Status status = lbox_sync_directories(directories); !status.ok()) {
    return lbox_fail(box->storage, box->event, status);
  }
  return lbox_sync_create(mbox, create);
}

int open_mailbox(struct lbox_mailbox* mbox) {
  struct mailbox* box = &mbox->box;
  if (check_existence(box) < 0) {
    if (mailbox_get_last_mail_error(box) != MAIL_ERROR_NOTFOUND || lbox_list_find_lost(box) < 0 ||
        check_existence(box) < 0) {
      return -1;
    }
  }
  if (lbox_storage_open(mbox->storage, box->list) < 0) {
    return -1;
  }
  const char* index_dir = nullptr;
  if (mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_INDEX, &index_dir) > 0) {
    lbox_remove_abandoned_lock(t_strconcat(index_dir, "/", box->index_prefix, nullptr));
  }
  if (index_storage_mailbox_open(box, false) < 0) {
    return -1;
  }
  // The index is a cache of the store: what must be durable is durable there.
  mail_index_set_fsync_mode(box->index, FSYNC_MODE_NEVER,
                            static_cast<enum mail_index_fsync_mask>(0));
  mbox->hdr_ext_id =
      mail_index_ext_register(box->index, "lbox-hdr", sizeof(struct lbox_index_header), 0, 0);
  if (box->creating) {
    return 0;
  }
  lbox::Guid guid;
  const int found = find_guid(mbox, &guid);
  if (found < 0) {
    return -1;
  }
  if (found > 0) {
    mbox->state->guid = guid;
    const auto info = lbox_store(mbox).GetMailbox(guid);
    if (info.ok()) {
      // Before anybody has a view of it: an index that is made anew ends the sessions that have.
      if (!lbox_sync_in_step(mbox, box->view, *info) && lbox_sync(mbox, LBOX_SYNC_FORCE) < 0) {
        return -1;
      }
      return 0;
    }
    if (info.status().code() != lbox::Code::kNotFound) {
      return lbox_fail(box->storage, box->event, info.status());
    }
  }
  // A directory without a row: its creation was cut short, or another program made the directory.
  return create_indexes(mbox, nullptr);
}

int update_mailbox(struct lbox_mailbox* mbox, const struct mailbox_update* update) {
  lbox::MailboxUpdate change;
  if (!guid_128_is_empty(update->mailbox_guid)) {
    change.guid = lbox_guid_from(update->mailbox_guid);
    if (lbox_guid_file_write(&mbox->box, *change.guid) < 0) {
      return -1;
    }
  }
  if (update->uid_validity != 0) {
    change.uid_validity = update->uid_validity;
  }
  change.min_next_uid = update->min_next_uid;
  change.min_first_recent_uid = update->min_first_recent_uid;
  change.min_modseq_ceiling = update->min_highest_modseq;
  return lbox_sync_update(mbox, change, update->min_highest_modseq);
}

int delete_mailbox(struct lbox_mailbox* mbox) {
  struct mailbox* box = &mbox->box;
  const int ret = index_storage_mailbox_delete_pre(box);
  if (ret <= 0) {
    return ret;
  }
  const lbox::Status status = lbox_store(mbox).DeleteMailbox(mbox->state->guid);
  if (!status.ok() && status.code() != lbox::Code::kNotFound) {
    return lbox_fail(box->storage, box->event, status);
  }
  lbox_storage_schedule_upkeep(mbox->storage);
  return index_storage_mailbox_delete_post(box);
}

// Gives the index the sum of sizes that Dovecot would otherwise ask each message for. Only when
// somebody asks: from then on Dovecot keeps it, with a lock for each expunge.
int remember_virtual_size(struct lbox_mailbox* mbox, const lbox::MailboxInfo& info) {
  struct mailbox* box = &mbox->box;
  const struct mail_index_header* hdr = mail_index_get_header(box->view);
  const void* data = nullptr;
  size_t size = 0;
  struct mailbox_index_vsize sizes {};
  mail_index_get_header_ext(box->view, box->vsize_hdr_ext_id, &data, &size);
  if (size == sizeof(sizes)) {
    memcpy(&sizes, data, sizeof(sizes));
  }
  if ((sizes.highest_uid + 1 == hdr->next_uid && sizes.message_count == hdr->messages_count) ||
      info.messages != hdr->messages_count || !lbox_sync_in_step(mbox, box->view, info)) {
    return 0;
  }
  sizes.vsize = info.virtual_bytes;
  sizes.highest_uid = hdr->next_uid - 1;
  sizes.message_count = hdr->messages_count;
  struct mail_index_transaction* trans =
      mail_index_transaction_begin(box->view, MAIL_INDEX_TRANSACTION_FLAG_EXTERNAL);
  mail_index_update_header_ext(trans, box->vsize_hdr_ext_id, 0, &sizes, sizeof(sizes));
  if (mail_index_transaction_commit(&trans) < 0) {
    mailbox_set_index_error(box);
    return -1;
  }
  return 0;
}

int get_sizes(struct lbox_mailbox* mbox, bool virtual_size, uint64_t* physical_r) {
  struct mailbox* box = &mbox->box;
  if ((!box->opened && mailbox_open(box) < 0) ||
      (!box->synced && mailbox_sync(box, MAILBOX_SYNC_FLAG_FAST) < 0)) {
    return -1;
  }
  const auto info = lbox_store(mbox).GetMailbox(mbox->state->guid);
  if (!info.ok()) {
    return lbox_fail(box->storage, box->event, info.status());
  }
  *physical_r = info->physical_bytes;
  return virtual_size ? remember_virtual_size(mbox, *info) : 0;
}

// Gives the renamed mailbox and all below it their new names in the store.
int rename_in_store(struct mailbox* src, struct mailbox* dest) {
  struct lbox_storage* storage = LBOX_STORAGE(dest->storage);
  if (lbox_storage_open(storage, dest->list) < 0) {
    return -1;
  }
  lbox::Store& store = *storage->state->store;
  const std::string from = lbox_mailbox_store_name(src);
  const std::string to = lbox_mailbox_store_name(dest);
  const auto boxes = store.ListMailboxes();
  if (!boxes.ok()) {
    return lbox_fail(dest->storage, dest->event, boxes.status());
  }
  for (const lbox::MailboxInfo& info : *boxes) {
    const bool self = info.name == from;
    const bool child = info.name.size() > from.size() && info.name.starts_with(from) &&
                       info.name[from.size()] == '\0';
    if (self || child) {
      lbox::MailboxUpdate update;
      update.name = to + info.name.substr(from.size());
      if (const lbox::Status status = store.UpdateMailbox(info.guid, update); !status.ok()) {
        return lbox_fail(dest->storage, dest->event, status);
      }
    }
  }
  return 0;
}

}  // namespace

extern "C" {

struct mailbox* lbox_mailbox_alloc(struct mail_storage* storage, struct mailbox_list* list,
                                   const char* vname, enum mailbox_flags flags) noexcept {
  const pool_t pool = pool_alloconly_create("lbox mailbox", 1024 * 3);
  auto* mbox = p_new(pool, struct lbox_mailbox, 1);
  mbox->box = lbox_mailbox_class;
  mbox->box.pool = pool;
  mbox->box.storage = storage;
  mbox->box.list = list;
  mbox->box.mail_vfuncs = &lbox_mail_vfuncs;
  mbox->storage = LBOX_STORAGE(storage);
  mbox->state = new lbox_mailbox_state;
  // lazy_expunge asks for none, but other processes look at these files to see what has changed;
  // dbox makes them, too.
  flags = static_cast<enum mailbox_flags>(flags & ~MAILBOX_FLAG_NO_INDEX_FILES);
  index_storage_mailbox_alloc(&mbox->box, vname, flags, MAIL_INDEX_PREFIX);
  return &mbox->box;
}

static int lbox_mailbox_open(struct mailbox* box) noexcept {
  return lbox_guard(box->storage, -1, [&] { return open_mailbox(LBOX_MAILBOX(box)); });
}

static void lbox_mailbox_close(struct mailbox* box) noexcept {
  lbox_guard(box->storage, 0, [&] {
    lbox_sync_pending_flags(LBOX_MAILBOX(box));
    LBOX_MAILBOX(box)->state->rows.Clear();
    return 0;
  });
  index_storage_mailbox_close(box);
}

static void lbox_mailbox_free(struct mailbox* box) noexcept {
  delete LBOX_MAILBOX(box)->state;
  LBOX_MAILBOX(box)->state = nullptr;
  index_storage_mailbox_free(box);
}

static int lbox_mailbox_create(struct mailbox* box, const struct mailbox_update* update,
                               bool directory) noexcept {
  return lbox_guard(box->storage, -1, [&] {
    if (const int ret = index_storage_mailbox_create(box, directory); ret <= 0) {
      return ret;
    }
    if (mailbox_open(box) < 0) {
      return -1;
    }
    if (mail_index_get_header(box->view)->uid_validity != 0 &&
        !box->storage->rebuilding_list_index) {
      mail_storage_set_error(box->storage, MAIL_ERROR_EXISTS, "Mailbox already exists");
      return -1;
    }
    return create_indexes(LBOX_MAILBOX(box), update);
  });
}

static int lbox_mailbox_update(struct mailbox* box, const struct mailbox_update* update) noexcept {
  return lbox_guard(box->storage, -1, [&] {
    if (!box->opened && mailbox_open(box) < 0) {
      return -1;
    }
    if (update_mailbox(LBOX_MAILBOX(box), update) < 0) {
      return -1;
    }
    return index_storage_mailbox_update_common(box, update);
  });
}

static int lbox_mailbox_delete(struct mailbox* box) noexcept {
  return lbox_guard(box->storage, -1, [&] { return delete_mailbox(LBOX_MAILBOX(box)); });
}

static int lbox_mailbox_rename(struct mailbox* src, struct mailbox* dest) noexcept {
  return lbox_guard(src->storage, -1, [&] {
    if (index_storage_mailbox_rename(src, dest) < 0) {
      return -1;
    }
    return rename_in_store(src, dest);
  });
}

static int lbox_mailbox_get_metadata(struct mailbox* box, enum mailbox_metadata_items items,
                                     struct mailbox_metadata* metadata_r) noexcept {
  const bool virtual_size = (items & MAILBOX_METADATA_VIRTUAL_SIZE) != 0;
  const auto others = static_cast<enum mailbox_metadata_items>(
      items & ~static_cast<unsigned>(MAILBOX_METADATA_PHYSICAL_SIZE));
  uint64_t physical = 0;
  if ((virtual_size || others != items) &&
      lbox_guard(box->storage, -1,
                 [&] { return get_sizes(LBOX_MAILBOX(box), virtual_size, &physical); }) < 0) {
    return -1;
  }
  if (index_mailbox_get_metadata(box, others, metadata_r) < 0) {
    return -1;
  }
  if (others != items) {
    metadata_r->physical_size = physical;
  }
  if ((items & MAILBOX_METADATA_GUID) != 0) {
    memcpy(metadata_r->guid, LBOX_MAILBOX(box)->state->guid.bytes.data(), sizeof(metadata_r->guid));
  }
  return 0;
}

static void lbox_mailbox_notify_changes(struct mailbox* box) noexcept {
  const char* dir = nullptr;
  if (box->notify_callback == nullptr) {
    mailbox_watch_remove_all(box);
  } else if (mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_INDEX, &dir) > 0) {
    mailbox_watch_add(box, t_strdup_printf("%s/" MAIL_INDEX_PREFIX ".log", dir));
  }
}

struct mailbox lbox_mailbox_class = {
    .v =
        {
            .is_readonly = index_storage_is_readonly,
            .enable = index_storage_mailbox_enable,
            .exists = index_storage_mailbox_exists,
            .open = lbox_mailbox_open,
            .close = lbox_mailbox_close,
            .free = lbox_mailbox_free,
            .create_box = lbox_mailbox_create,
            .update_box = lbox_mailbox_update,
            .delete_box = lbox_mailbox_delete,
            .rename_box = lbox_mailbox_rename,
            .get_status = index_storage_get_status,
            .get_metadata = lbox_mailbox_get_metadata,
            .set_subscribed = index_storage_set_subscribed,
            .attribute_set = index_storage_attribute_set,
            .attribute_get = index_storage_attribute_get,
            .attribute_iter_init = index_storage_attribute_iter_init,
            .attribute_iter_next = index_storage_attribute_iter_next,
            .attribute_iter_deinit = index_storage_attribute_iter_deinit,
            .list_index_has_changed = lbox_list_index_has_changed,
            .list_index_update_sync = lbox_list_index_update_sync,
            .sync_init = lbox_storage_sync_init,
            .sync_next = index_mailbox_sync_next,
            .sync_deinit = index_mailbox_sync_deinit,
            .notify_changes = lbox_mailbox_notify_changes,
            .transaction_begin = index_transaction_begin,
            .transaction_commit = lbox_transaction_commit,
            .transaction_rollback = index_transaction_rollback,
            .mail_alloc = index_mail_alloc,
            .search_init = index_storage_search_init,
            .search_deinit = index_storage_search_deinit,
            .search_next_nonblock = index_storage_search_next_nonblock,
            .search_next_update_seq = index_storage_search_next_update_seq,
            .search_next_match_mail = index_storage_search_next_match_mail,
            .save_alloc = lbox_save_alloc,
            .save_begin = lbox_save_begin,
            .save_continue = lbox_save_continue,
            .save_finish = lbox_save_finish,
            .save_cancel = lbox_save_cancel,
            .copy = lbox_copy,
            .transaction_save_commit_pre = lbox_transaction_save_commit_pre,
            .transaction_save_commit_post = lbox_transaction_save_commit_post,
            .transaction_save_rollback = lbox_transaction_save_rollback,
            .is_inconsistent = index_storage_is_inconsistent,
        },
};

}  // extern "C"

// A lost or damaged mailbox list (dovecot.list.index) is made again from the names that the store
// remembers.
//
// Dovecot's own rebuild finds mailboxes by their directories and names them after what it finds in
// their index files, which may be lost as well; it is run afterwards for directories that the store
// does not know.
//
// Mailboxes are created under the mailbox list's lock, row first, list entry last. So the lock is
// held here too, and the list read afresh below it: a mailbox that another process has just
// finished would otherwise be created once more, fail at the last step, and be rolled back with its
// rows and directory.
//
// Done when the list says that it is damaged, and by whoever finds that it lacks a mailbox which
// the store has. What a boot needs is in after-boot.cc.
#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "plugin/guard.h"
#include "plugin/lbox-storage.h"

namespace {

struct mail_namespace* first_namespace(struct mail_storage* storage) {
  for (struct mail_namespace* ns = storage->user->namespaces; ns != nullptr; ns = ns->next) {
    if (ns->storage == storage && ns->alias_for == nullptr &&
        strcmp(ns->list->name, MAILBOX_LIST_NAME_INDEX) == 0) {
      return ns;
    }
  }
  return nullptr;
}

// GUIDs of the mailboxes that the list has on disk now. With layout index the directory's name is
// the GUID.
int listed_guids(struct mailbox_list* list, std::set<lbox::Guid>* guids) {
  struct mailbox_list_index_sync_context* sync = nullptr;
  if (mailbox_list_index_sync_begin(list, &sync) < 0 ||
      mailbox_list_index_sync_end(&sync, true) < 0) {
    return -1;
  }
  struct mailbox_list_iterate_context* iter = mailbox_list_iter_init(
      list, "*",
      static_cast<enum mailbox_list_iter_flags>(MAILBOX_LIST_ITER_RAW_LIST |
                                                MAILBOX_LIST_ITER_NO_AUTO_BOXES |
                                                MAILBOX_LIST_ITER_SKIP_ALIASES));
  while (const struct mailbox_info* info = mailbox_list_iter_next(iter)) {
    const char* path = nullptr;
    guid_128_t guid;
    if ((info->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT)) == 0 &&
        mailbox_list_get_path(list, mailbox_list_get_storage_name(list, info->vname),
                              MAILBOX_LIST_PATH_TYPE_MAILBOX, &path) > 0 &&
        guid_128_from_string(strrchr(path, '/') + 1, guid) == 0) {
      guids->insert(lbox_guid_from(guid));
    }
  }
  return mailbox_list_iter_deinit(&iter);
}

int create_listed(struct mailbox_list* list, const lbox::MailboxInfo& info) {
  const std::string name = lbox_mailbox_list_name(list, info);
  struct mailbox* box =
      mailbox_alloc(list, mailbox_list_get_vname(list, name.c_str()), MAILBOX_FLAG_IGNORE_ACLS);
  struct mailbox_update update {};
  memcpy(update.mailbox_guid, info.guid.bytes.data(), sizeof(update.mailbox_guid));
  int ret = mailbox_create(box, &update, false);
  if (ret < 0 && mailbox_get_last_mail_error(box) == MAIL_ERROR_EXISTS) {
    ret = 0;  // another mailbox has the name meanwhile: Dovecot's rebuild gives this one a name of
              // its own
  }
  mailbox_free(&box);
  return ret;
}

int create_missing(struct lbox_storage* storage, struct mail_namespace* ns) {
  if (lbox_storage_open(storage, ns->list) < 0) {
    return -1;
  }
  auto boxes = storage->state->store->ListMailboxes();
  if (!boxes.ok()) {
    return lbox_fail(&storage->storage, storage->storage.event, boxes.status());
  }
  std::set<lbox::Guid> listed;
  if (listed_guids(ns->list, &listed) < 0) {
    mail_storage_copy_list_error(&storage->storage, ns->list);
    return -1;
  }
  // Parents before children: a name that exists only as a parent cannot be taken any more.
  std::sort(boxes->begin(), boxes->end(),
            [](const lbox::MailboxInfo& a, const lbox::MailboxInfo& b) { return a.name < b.name; });
  int ret = 0;
  for (const lbox::MailboxInfo& info : *boxes) {
    if (!info.name.empty() && !listed.contains(info.guid) && create_listed(ns->list, info) < 0) {
      ret = -1;
    }
  }
  return ret;
}

int create_missing_locked(struct lbox_storage* storage) {
  struct mail_namespace* ns = first_namespace(&storage->storage);
  struct stat st;
  if (ns == nullptr ||
      (storage->state->store == nullptr && stat(storage->state->path.c_str(), &st) < 0)) {
    return 0;
  }
  if (mailbox_list_lock(ns->list) < 0) {
    mail_storage_copy_list_error(&storage->storage, ns->list);
    return -1;
  }
  const int ret = lbox_guard(&storage->storage, -1, [&] { return create_missing(storage, ns); });
  mailbox_list_unlock(ns->list);
  return ret;
}

}  // namespace

int lbox_list_find_lost(struct mailbox* box) {
  struct lbox_storage* storage = LBOX_STORAGE(box->storage);
  struct stat st;
  if (box->creating || box->deleting || box->storage->rebuilding_list_index ||
      first_namespace(box->storage) == nullptr ||
      (storage->state->store == nullptr && stat(storage->state->path.c_str(), &st) < 0)) {
    return 0;
  }
  if (lbox_storage_open(storage, box->list) < 0) {
    return -1;
  }
  const auto boxes = storage->state->store->ListMailboxes();
  if (!boxes.ok()) {
    return lbox_fail(box->storage, box->event, boxes.status());
  }
  const std::string name = lbox_mailbox_store_name(box);
  if (std::none_of(boxes->begin(), boxes->end(),
                   [&](const lbox::MailboxInfo& info) { return info.name == name; })) {
    return 0;
  }
  return lbox_list_index_rebuild(box->storage,
                                 MAIL_STORAGE_LIST_INDEX_REBUILD_REASON_FORCE_RESYNC) < 0
             ? -1
             : 1;
}

int lbox_list_index_rebuild(struct mail_storage* _storage,
                            enum mail_storage_list_index_rebuild_reason reason) noexcept {
  if (_storage->rebuilding_list_index) {
    return 0;
  }
  _storage->rebuilding_list_index = true;
  const int ret =
      lbox_guard(_storage, -1, [&] { return create_missing_locked(LBOX_STORAGE(_storage)); });
  _storage->rebuilding_list_index = false;
  return ret < 0 ? -1 : mail_storage_list_index_rebuild(_storage, reason);
}

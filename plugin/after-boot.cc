// What Dovecot keeps of mailboxes beside the store is thrown away in the first session after each
// boot, and made again from the store.
//
// Dovecot does not flush its index files (dovecot.index*, dovecot.list.index*), and with lbox they
// are a cache. What a power cut leaves of them is any mixture of old, new and torn parts, over
// which Dovecot may lose mailboxes, show counts of before the last mail, refuse commands, or crash.
// Nothing tells such files from good ones, so none outlive a boot. Done before that session lists
// or opens anything, under the lock of the mailbox list; all later ones find it done, and none
// works with a file that is thrown away. Private flags (dovecot.index.pvt*) are kept: they are
// nowhere else. With layout index the list is filled with the store's mailboxes in one transaction;
// directories of mailboxes that the store does not know hold no mail, but what is left of a
// deletion, or of a creation that was never acknowledged.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "plugin/abandoned-lock.h"
#include "plugin/guard.h"
#include "plugin/lbox-storage.h"
#include "plugin/series.h"

namespace {

constexpr char kBootIdPath[] = "/proc/sys/kernel/random/boot_id";
constexpr char kBootName[] = "/lbox-boot";

using Mailboxes = std::map<lbox::Guid, lbox::MailboxInfo>;

// The first line of a small file; "" when there is none.
std::string read_line(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return {};
  }
  char text[256];
  const ssize_t size = read(fd, text, sizeof(text));
  i_close_fd(&fd);
  const std::string_view bytes(text, size > 0 ? static_cast<size_t>(size) : 0);
  return std::string(bytes.substr(0, bytes.find('\n')));
}

// "" in a chroot.
const std::string& this_boot() {
  static std::string boot;  // no process outlives it
  if (boot.empty()) {
    boot = read_line(kBootIdPath);
  }
  return boot;
}

// Where the boot is noted whose files are there; beside the store, not in it, since it has to be
// there before the store.
std::string boot_path(struct lbox_storage* storage) {
  return storage->storage.unique_root_dir + std::string(kBootName);
}

// Not flushed: if it is lost, everything is done once more.
void note_boot(struct lbox_storage* storage, const std::string& boot) {
  std::ofstream(boot_path(storage)) << boot << "\n";
}

// Calls visit(name) for what is in a directory. Returns 0, also when there is none, or -1 (errno).
int list_directory(const std::string& path,
                   const std::function<void(const std::string& name)>& visit) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) {
    return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  }
  std::vector<std::string> names;
  errno = 0;
  while (const struct dirent* entry = readdir(dir)) {
    names.emplace_back(entry->d_name);
  }
  const int ret = errno == 0 ? 0 : -1;
  closedir(dir);
  std::for_each(names.begin(), names.end(), visit);
  return ret;
}

// Removes the files of a directory whose names begin so, but for private flags.
int remove_files(struct mail_storage* storage, const std::string& path, std::string_view prefix) {
  int ret = 0;
  const auto remove = [&](const std::string& name) {
    const std::string file = path + "/" + name;
    if (name.starts_with(prefix) && !name.starts_with(MAIL_INDEX_PREFIX ".pvt") &&
        unlink(file.c_str()) < 0 && errno != ENOENT) {
      mail_storage_set_critical(storage, "unlink(%s) failed: %m", file.c_str());
      ret = -1;
    }
  };
  if (list_directory(path, remove) < 0) {
    mail_storage_set_critical(storage, "opendir(%s) failed: %m", path.c_str());
    ret = -1;
  }
  return ret;
}

// Path and prefix of the files of the list's index; NULL: it has none.
const char* list_index_prefix(struct mailbox_list* list) {
  const auto* index = static_cast<const struct mailbox_list_index*>(
      MODULE_CONTEXT(list, mailbox_list_index_module));
  return index == nullptr ? nullptr : index->path;
}

int remove_list_index(struct mail_storage* storage, struct mailbox_list* list) {
  const char* prefix = list_index_prefix(list);
  if (prefix == nullptr) {
    return 0;
  }
  const std::string path = prefix;
  const size_t slash = path.rfind('/');
  return remove_files(storage, path.substr(0, slash), path.substr(slash + 1));
}

// As index_list_mailbox_create_selectable() does it.
void add_entry(struct mailbox_list_index_sync_context* sync, const std::string& name,
               const lbox::MailboxInfo& info) {
  struct mailbox_list_index_node* node = nullptr;
  bool created = false;
  const uint32_t seq = mailbox_list_index_sync_name(sync, name.c_str(), &node, &created);
  node->flags = static_cast<enum mailbox_list_index_flags>(0);
  mail_index_update_flags(sync->trans, seq, MODIFY_REPLACE, static_cast<enum mail_flags>(0));
  struct mailbox_list_index_record record {};
  record.name_id = node->name_id;
  record.parent_uid = node->parent == nullptr ? 0 : node->parent->uid;
  record.uid_validity = info.uid_validity;
  memcpy(record.guid, info.guid.bytes.data(), sizeof(record.guid));
  mail_index_update_ext(sync->trans, seq, sync->ilist->ext_id, &record, nullptr);
}

int fill_list(struct mail_storage* storage, struct mailbox_list* list, const Mailboxes& boxes) {
  struct mailbox_list_index_sync_context* sync = nullptr;
  if (mailbox_list_index_sync_begin(list, &sync) < 0) {
    mail_storage_copy_list_error(storage, list);
    return -1;
  }
  for (const auto& [guid, info] : boxes) {
    if (!info.name.empty()) {
      add_entry(sync, lbox_mailbox_list_name(list, info), info);
    }
  }
  if (mailbox_list_index_sync_end(&sync, true) < 0) {
    mail_storage_copy_list_error(storage, list);
    return -1;
  }
  return 0;
}

// Somebody may have removed everything but the store.
int make_missing_directories(struct mail_storage* storage, struct mailbox_list* list,
                             const Mailboxes& boxes) {
  for (const auto& [guid, info] : boxes) {
    const std::string name = lbox_mailbox_list_name(list, info);
    const char* path = nullptr;
    struct stat st;
    if (name.empty() ||
        mailbox_list_get_path(list, name.c_str(), MAILBOX_LIST_PATH_TYPE_MAILBOX, &path) <= 0 ||
        stat(path, &st) == 0) {
      continue;
    }
    struct mailbox* box =
        mailbox_alloc(list, mailbox_list_get_vname(list, name.c_str()), MAILBOX_FLAG_IGNORE_ACLS);
    const int ret = mailbox_mkdir(box, path, MAILBOX_LIST_PATH_TYPE_MAILBOX);
    mailbox_free(&box);
    if (ret < 0) {
      mail_storage_set_critical(storage, "mkdir(%s) failed: %m", path);
      return -1;
    }
  }
  return 0;
}

void remove_unknown_directories(struct mailbox_list* list, const Mailboxes& known) {
  const std::string root = mailbox_list_get_root_forced(list, MAILBOX_LIST_PATH_TYPE_MAILBOX);
  const auto remove = [&](const std::string& name) {
    guid_128_t guid;
    const char* error = nullptr;
    if (guid_128_from_string(name.c_str(), guid) == 0 &&
        known.find(lbox_guid_from(guid)) == known.end() &&
        unlink_directory((root + "/" + name).c_str(), UNLINK_DIRECTORY_FLAG_RMDIR, &error) < 0) {
      e_error(list->ns->user->event, "lbox: removing what is left of a mailbox: %s", error);
    }
  };
  if (list_directory(root, remove) < 0) {
    e_error(list->ns->user->event, "opendir(%s) failed: %m", root.c_str());
  }
}

int remove_indexes(struct mail_storage* storage, struct mailbox_list* list,
                   const Mailboxes& boxes) {
  int ret = 0;
  for (const auto& [guid, info] : boxes) {
    const char* path = nullptr;
    if (!info.name.empty() &&
        mailbox_list_get_path(list, lbox_mailbox_list_name(list, info).c_str(),
                              MAILBOX_LIST_PATH_TYPE_INDEX, &path) > 0 &&
        remove_files(storage, path, MAIL_INDEX_PREFIX) < 0) {
      ret = -1;
    }
  }
  return ret;
}

// list: the first one of the storage.
int start_afresh(struct lbox_storage* storage, struct mailbox_list* list) {
  struct mail_storage* _storage = &storage->storage;
  if (lbox_storage_open(storage, list) < 0) {
    return -1;
  }
  auto found = storage->state->store->ListMailboxes();
  if (!found.ok()) {
    return lbox_fail(_storage, _storage->event, found.status());
  }
  Mailboxes boxes;
  for (lbox::MailboxInfo& info : *found) {
    boxes.emplace(info.guid, std::move(info));
  }
  if (remove_list_index(_storage, list) < 0) {
    return -1;
  }
  const bool in_list = strcmp(list->name, MAILBOX_LIST_NAME_INDEX) == 0;
  if (in_list && (fill_list(_storage, list, boxes) < 0 ||
                  make_missing_directories(_storage, list, boxes) < 0)) {
    return -1;
  }
  if (remove_indexes(_storage, list, boxes) < 0) {
    return -1;
  }
  if (in_list) {
    remove_unknown_directories(list, boxes);
  }
  return 0;
}

int check(struct lbox_storage* storage, struct mailbox_list* list) {
  const std::string& boot = this_boot();  // "": nothing to compare
  struct stat st;
  if (boot.empty() || read_line(boot_path(storage)) == boot ||
      stat(storage->state->path.c_str(), &st) < 0) {
    return 0;
  }
  if (mailbox_list_lock(list) < 0) {
    mail_storage_copy_list_error(&storage->storage, list);
    return -1;
  }
  int ret = 0;
  if (read_line(boot_path(storage)) != boot) {  // another process may have done it meanwhile
    ret = lbox_guard(&storage->storage, -1, [&] { return start_afresh(storage, list); });
    if (ret == 0) {
      note_boot(storage, boot);
    }
  }
  mailbox_list_unlock(list);
  return ret;
}

}  // namespace

void lbox_note_boot_of_new_store(struct lbox_storage* storage) {
  struct stat st;
  if (stat(storage->state->path.c_str(), &st) < 0 && errno == ENOENT) {
    note_boot(storage, this_boot());
  }
}

void lbox_namespaces_created(struct mail_namespace* namespaces) noexcept {
  for (struct mail_namespace* ns = namespaces; ns != nullptr; ns = ns->next) {
    struct mail_storage* _storage = ns->storage;
    if (_storage == nullptr || ns->alias_for != nullptr ||
        strcmp(_storage->name, LBOX_STORAGE_NAME) != 0) {
      continue;
    }
    struct lbox_storage* storage = LBOX_STORAGE(_storage);
    if (std::exchange(storage->state->boot_checked, true)) {
      continue;
    }
    if (const char* prefix = list_index_prefix(ns->list); prefix != nullptr) {
      lbox_remove_abandoned_lock(prefix);
    }
    _storage->rebuilding_list_index = true;  // nothing else is to do that meanwhile
    const int ret = lbox_guard(_storage, -1, [&] { return check(storage, ns->list); });
    _storage->rebuilding_list_index = false;
    if (ret < 0) {
      e_error(_storage->event, "lbox: index files of before the boot cannot be replaced: %s",
              mail_storage_get_last_internal_error(_storage, nullptr));
    }
  }
}

#include "plugin/lbox-storage.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "plugin/durable-dirs.h"
#include "plugin/guard.h"
#include "plugin/idle-store.h"
#include "plugin/lbox-sync.h"
#include "plugin/series.h"

namespace {

constexpr char kStoreDirName[] = "store";
// Longest that freeing disk may hold up a process that serves a client, and longest at the end of
// its session (docs/design.md).
constexpr std::chrono::milliseconds kUpkeepStep{50};
constexpr std::chrono::milliseconds kUpkeepAtEnd{1000};
constexpr unsigned int kUpkeepDelayMs = 20;
constexpr unsigned int kFlushDelayMs = 1000;

void upkeep_step(struct lbox_storage* storage) {
  const auto more = storage->state->store->Maintain(kUpkeepStep);
  if (!more.ok()) {
    lbox_event_failed(storage->storage.event, more.status().code());
    e_error(storage->storage.event, "lbox: freeing disk: %s", more.status().message().c_str());
    timeout_remove(&storage->state->to_upkeep);
  } else if (!*more) {
    timeout_remove(&storage->state->to_upkeep);
  }
}

extern "C" {

static void lbox_storage_upkeep_timeout(void* context) noexcept {
  auto* storage = static_cast<struct lbox_storage*>(context);
  lbox_guard(&storage->storage, 0, [&] {
    upkeep_step(storage);
    return 0;
  });
}

static void lbox_storage_flush_timeout(void* context) noexcept {
  auto* storage = static_cast<struct lbox_storage*>(context);
  lbox_guard(&storage->storage, 0, [&] {
    timeout_remove(&storage->state->to_flush);
    for (struct mailbox* box = storage->storage.mailboxes; box != nullptr; box = box->next) {
      lbox_sync_pending_flags(LBOX_MAILBOX(box));
    }
    return 0;
  });
}

}  // extern "C"

}  // namespace

struct event_category lbox_event_category = {
    .parent = &event_category_storage,
    .name = "lbox",
};

struct mail_storage* lbox_storage_alloc(void) noexcept {
  const pool_t pool = pool_alloconly_create("lbox storage", 1024);
  auto* storage = p_new(pool, struct lbox_storage, 1);
  storage->storage = lbox_storage_class;
  storage->storage.pool = pool;
  storage->state = new lbox_storage_state;
  return &storage->storage;
}

int lbox_storage_create(struct mail_storage* _storage, struct mail_namespace* ns,
                        const char** error_r) noexcept {
  struct lbox_storage* storage = LBOX_STORAGE(_storage);
  int ret = 0;
  if (const char* setting = lbox_series_unsupported_setting(_storage); setting != nullptr) {
    *error_r =
        t_strdup_printf("%s is set, but lbox keeps attachments in its store: unset it", setting);
    ret = -1;
  } else if (*lbox_series_boxes_dir_name(ns->list) == '\0') {
    *error_r = t_strdup_printf(
        "mailbox_root_directory_name is empty: install modules/settings/liblbox_settings.so where "
        "the config process finds it, "
        "or set mailbox_root_directory_name=%s and mailbox_directory_name=%s",
        LBOX_BOXES_DIR_NAME, LBOX_MAILBOX_DIR_NAME);
    ret = -1;
  } else {
    const char* root = mailbox_list_get_root_forced(ns->list, MAILBOX_LIST_PATH_TYPE_DIR);
    _storage->unique_root_dir = p_strdup(_storage->pool, root);
    storage->state->path = std::string(root) + "/" + kStoreDirName;
  }
  if (ret < 0) {
    // 2.3 frees the pool without calling destroy(), 2.4 calls it; lbox_storage_destroy takes a null
    // state.
    delete storage->state;
    storage->state = nullptr;
  }
  return ret;
}

void lbox_storage_destroy(struct mail_storage* _storage) noexcept {
  struct lbox_storage* storage = LBOX_STORAGE(_storage);
  if (storage->state != nullptr) {
    timeout_remove(&storage->state->to_upkeep);
    timeout_remove(&storage->state->to_flush);
    lbox_guard(_storage, 0, [&] {
      const auto& store = storage->state->store;
      if (store != nullptr && store->WantsMaintenance()) {
        lbox::Status status = store->UnlinkDeleted();
        if (status.ok()) {
          status = store->Maintain(kUpkeepAtEnd).status();
        }
        // In LMTP this may run under another user's uid: the next opener goes on.
        if (!status.ok() && status.code() != lbox::Code::kPermission) {
          lbox_event_failed(_storage->event, status.code());
          e_error(_storage->event, "lbox: freeing disk: %s", status.message().c_str());
        }
      }
      if (store != nullptr) {
        lbox_idle_store_keep(store);
      }
      return 0;
    });
    delete storage->state;
    storage->state = nullptr;
  }
  index_storage_destroy(_storage);
}

int lbox_storage_options(struct lbox_storage* storage, struct mailbox_list* list,
                         lbox::StoreOptions* options_r) {
  struct mail_storage* _storage = &storage->storage;
  lbox_settings_values settings{};
  const char* error = nullptr;
  if (lbox_series_settings(_storage, &settings, &error) < 0) {
    mail_storage_set_critical(_storage, "lbox: %s", error);
    return -1;
  }
  struct mailbox_permissions perm;
  mailbox_list_get_root_permissions(list, &perm);
  options_r->path = storage->state->path;
  options_r->allow_fuse = settings.allow_fuse;
  options_r->sync = _storage->set->parsed_fsync_mode != FSYNC_MODE_NEVER;
  options_r->mode = perm.file_create_mode;
  options_r->gid = perm.file_create_gid == static_cast<gid_t>(-1)
                       ? -1
                       : static_cast<int64_t>(perm.file_create_gid);
  return 0;
}

int lbox_storage_open(struct lbox_storage* storage, struct mailbox_list* list) {
  lbox_storage_state& state = *storage->state;
  if (state.store != nullptr) {
    return 0;
  }
  struct mail_storage* _storage = &storage->storage;
  const char* root = mailbox_list_get_root_forced(list, MAILBOX_LIST_PATH_TYPE_DIR);
  const auto new_parents = lbox_missing_parents(root);
  if (mailbox_list_mkdir_root(list, root, MAILBOX_LIST_PATH_TYPE_DIR) < 0) {
    mail_storage_copy_list_error(_storage, list);
    return -1;
  }
  if (const lbox::Status status = lbox_sync_directories(new_parents); !status.ok()) {
    return lbox_fail(_storage, _storage->event, status);
  }
  lbox::StoreOptions options;
  if (lbox_storage_options(storage, list, &options) < 0) {
    return -1;
  }
  lbox_note_boot_of_new_store(storage);
  auto store = lbox::Store::Open(options);
  if (!store.ok()) {
    return lbox_fail(_storage, _storage->event, store.status());
  }
  state.store = std::move(*store);
  for (const std::string& damage : state.store->Damage()) {
    lbox_event_failed(_storage->event, lbox::Code::kCorruption);
    e_error(_storage->event, "lbox: %s; run: doveadm lbox verify -u %s", damage.c_str(),
            _storage->user->username);
  }
  if (state.store->WantsMaintenance()) {
    lbox_storage_schedule_upkeep(storage);
  }
  return 0;
}

int lbox_storage_purge(struct mail_storage* _storage) noexcept {
  return lbox_guard(_storage, -1, [&] {
    struct lbox_storage* storage = LBOX_STORAGE(_storage);
    struct mail_namespace* ns = _storage->user->namespaces;
    while (ns != nullptr && ns->storage != _storage) {
      ns = ns->next;
    }
    if (ns == nullptr) {
      return 0;
    }
    if (lbox_storage_open(storage, ns->list) < 0) {
      return -1;
    }
    for (;;) {
      const auto more = storage->state->store->Maintain(std::chrono::hours(1), true);
      if (!more.ok()) {
        return lbox_fail(_storage, _storage->event, more.status());
      }
      if (!*more) {
        return 0;
      }
    }
  });
}

void lbox_storage_schedule_upkeep(struct lbox_storage* storage) {
  if (storage->state->to_upkeep == nullptr && storage->state->store->WantsMaintenance()) {
    storage->state->to_upkeep =
        timeout_add_to(io_loop_get_root(), kUpkeepDelayMs, lbox_storage_upkeep_timeout,
                       static_cast<void*>(storage));
  }
}

void lbox_storage_schedule_flush(struct lbox_storage* storage) {
  if (storage->state->to_flush == nullptr) {
    storage->state->to_flush = timeout_add_to(
        io_loop_get_root(), kFlushDelayMs, lbox_storage_flush_timeout, static_cast<void*>(storage));
  }
}

lbox::Guid lbox_guid_from(const guid_128_t guid) {
  lbox::Guid result;
  std::copy_n(guid, GUID_128_SIZE, result.bytes.begin());
  return result;
}

int64_t lbox_monotonic_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string lbox_mailbox_store_name(struct mailbox* box) {
  std::string name = box->name;
  std::replace(name.begin(), name.end(), mailbox_list_get_hierarchy_sep(box->list), '\0');
  return name;
}

std::string lbox_mailbox_list_name(struct mailbox_list* list, const lbox::MailboxInfo& info) {
  std::string name = info.name;
  std::replace(name.begin(), name.end(), '\0', mailbox_list_get_hierarchy_sep(list));
  return name;
}

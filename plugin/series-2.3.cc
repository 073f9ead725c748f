#include <cstring>

#include "plugin/lbox-storage.h"
#include "plugin/series.h"

extern "C" {

static void lbox_get_list_settings(const struct mail_namespace*,
                                   struct mailbox_list_settings* set) noexcept {
  if (set->layout == nullptr) {
    set->layout = MAILBOX_LIST_NAME_INDEX;
  }
  if (set->subscription_fname == nullptr) {
    set->subscription_fname = "subscriptions";
  }
  if (*set->maildir_name == '\0') {
    set->maildir_name = LBOX_MAILBOX_DIR_NAME;
  }
  if (*set->mailbox_dir_name == '\0') {
    set->mailbox_dir_name = LBOX_BOXES_DIR_NAME;
  }
}

struct mail_storage lbox_storage_class = {
    .name = LBOX_STORAGE_NAME,
    .class_flags = LBOX_CLASS_FLAGS,
    .event_category = &lbox_event_category,
    .v =
        {
            .alloc = lbox_storage_alloc,
            .create = lbox_storage_create,
            .destroy = lbox_storage_destroy,
            .get_list_settings = lbox_get_list_settings,
            .mailbox_alloc = lbox_mailbox_alloc,
            .purge = lbox_storage_purge,
            .list_index_rebuild = lbox_list_index_rebuild,
        },
};

}  // extern "C"

int lbox_series_settings(struct mail_storage* storage, struct lbox_settings_values* values_r,
                         const char**) {
  const char* value = mail_user_plugin_getenv(storage->user, "lbox_allow_fuse");
  values_r->allow_fuse = value != nullptr && strcasecmp(value, "yes") == 0;
  return 0;
}

const char* lbox_series_unsupported_setting(struct mail_storage* storage) {
  return *storage->set->mail_attachment_dir != '\0' ? "mail_attachment_dir" : nullptr;
}

bool lbox_series_iter_from_index_dir(struct mailbox_list* list) {
  return list->set.iter_from_index_dir;
}

const char* lbox_series_boxes_dir_name(struct mailbox_list* list) {
  return list->set.mailbox_dir_name;
}

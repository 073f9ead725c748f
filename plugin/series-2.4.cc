#include <cstring>

#include "plugin/lbox-storage.h"
#include "plugin/series.h"
#include "plugin/settings-2.4.h"

extern "C" {
#include "settings.h"

struct mail_storage lbox_storage_class = {
    .name = LBOX_STORAGE_NAME,
    .class_flags = LBOX_CLASS_FLAGS,
    .event_category = &lbox_event_category,
    .set_info = &lbox_setting_parser_info,
    .v =
        {
            .alloc = lbox_storage_alloc,
            .create = lbox_storage_create,
            .destroy = lbox_storage_destroy,
            .mailbox_alloc = lbox_mailbox_alloc,
            .purge = lbox_storage_purge,
            .list_index_rebuild = lbox_list_index_rebuild,
        },
};

}  // extern "C"

int lbox_series_settings(struct mail_storage* storage, struct lbox_settings_values* values_r,
                         const char** error_r) {
  const struct lbox_settings* set = nullptr;
  const char* error = nullptr;
  // settings_get() is a macro that C++ does not take; this is the function behind it.
  if ((settings_get)(storage->event, &lbox_setting_parser_info,
                     static_cast<enum settings_get_flags>(0), __FILE__, __LINE__,
                     reinterpret_cast<const void**>(&set), &error) < 0) {
    // Not an error: modules/settings/liblbox_settings.so is not where the config process looks, so
    // nothing can be configured.
    if (strstr(error, "has no settings struct named") != nullptr) {
      values_r->allow_fuse = false;
      return 0;
    }
    *error_r = error;
    return -1;
  }
  values_r->allow_fuse = set->lbox_allow_fuse;
  settings_free(set);
  return 0;
}

const char* lbox_series_unsupported_setting(struct mail_storage* storage) {
  return *storage->set->mail_ext_attachment_path != '\0' ? "mail_ext_attachment_path" : nullptr;
}

bool lbox_series_iter_from_index_dir(struct mailbox_list* list) {
  return list->mail_set->mailbox_list_iter_from_index_dir;
}

const char* lbox_series_boxes_dir_name(struct mailbox_list* list) {
  return list->mail_set->mailbox_root_directory_name;
}

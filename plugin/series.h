// What differs between Dovecot 2.3 and 2.4; series-2.3.cc and series-2.4.cc implement it, CMake
// picks one. No other file looks at the version.
#pragma once

#include "plugin/dovecot.h"

inline constexpr char LBOX_STORAGE_NAME[] = "lbox";
// Folder below mail_path that holds the mailbox directories; not sdbox's "mailboxes", which
// autodetection would take for sdbox.
inline constexpr char LBOX_BOXES_DIR_NAME[] = "boxes";
// With layout fs: the directory, inside each mailbox's, that makes it a mailbox and not only a
// parent.
inline constexpr char LBOX_MAILBOX_DIR_NAME[] = "lbox-Mails";

// The storage class registered with Dovecot.
extern "C" struct mail_storage lbox_storage_class;

struct lbox_settings_values {
  bool allow_fuse;
};

// Settings of this storage; defaults where nothing is configured. Returns 0, or -1 with *error_r.
int lbox_series_settings(struct mail_storage* storage, struct lbox_settings_values* values_r,
                         const char** error_r);
// Name of a configured setting that this driver does not serve (external attachments), or NULL.
const char* lbox_series_unsupported_setting(struct mail_storage* storage);
// Whether mailboxes are listed from the index directory (mailbox_list_iter_from_index_dir,
// ITERINDEX).
bool lbox_series_iter_from_index_dir(struct mailbox_list* list);
// Directory name under the root for mailboxes; "" when the configuration gives none.
const char* lbox_series_boxes_dir_name(struct mailbox_list* list);

/* What doveadm asks of the plugin "hosting" about one user's mail: retention, folders that POP3
   does not see, and which session removed what. The plugin is loaded with the user, so its
   functions are looked up by name (dlsym). Plain C.

   Texts that callbacks get live until they return. All functions: 1 when done, 0 when the user has
   no part in it (no quota root of the plugin's), -1 with *error_r, which lives until the next call.
 */
#ifndef HOSTING_MAIL_ADMIN_H
#define HOSTING_MAIL_ADMIN_H

#include <stdint.h>

struct mail_user;

#define HOSTING_RETENTION_SYMBOL "hosting_retention_run"
#define HOSTING_FOLDERS_SYMBOL "hosting_folders_list"
#define HOSTING_MERGE_SYMBOL "hosting_folders_merge"
#define HOSTING_TRACE_SYMBOL "hosting_trace"

struct hosting_retention_options {
  int64_t now;       /* seconds since 1970 UTC */
  int dry_run;       /* nothing is changed, and no notice sent */
  unsigned int most; /* messages to remove or move in one call; 0: all */
};

struct hosting_retention_row {
  const char* action; /* "delete", "move", "notice", "wait": the notice is too recent */
  const char* mailbox;
  uint32_t uid;      /* 0: none */
  int64_t delivered; /* seconds since 1970 UTC */
  int64_t retrieved; /* 0: never, or not known */
  uint64_t bytes;
  const char* rule;
};
typedef void hosting_retention_row_t(void* context, const struct hosting_retention_row* row);
typedef int hosting_retention_func_t(struct mail_user* user,
                                     const struct hosting_retention_options* options,
                                     hosting_retention_row_t* row, void* context,
                                     const char** error_r);

struct hosting_folder_row {
  const char* mailbox;
  const char* kind; /* "", "trash", "junk", "expiry" */
  uint64_t messages;
  uint64_t bytes;
  uint64_t moved; /* of a merge */
};
typedef void hosting_folder_row_t(void* context, const struct hosting_folder_row* row);
/* All mailboxes but INBOX that have messages. */
typedef int hosting_folders_func_t(struct mail_user* user, hosting_folder_row_t* row, void* context,
                                   const char** error_r);
/* Moves their messages to INBOX; all: also those of trash and junk. A message of which INBOX has a
   copy already (same GUID) only goes from its folder. */
typedef int hosting_merge_func_t(struct mail_user* user, int all, hosting_folder_row_t* row,
                                 void* context, const char** error_r);

struct hosting_trace_row {
  int64_t at;
  const char *session, *protocol, *address, *rule, *mailbox, *to, *message_id;
  uint32_t uid;
  uint64_t bytes;
};
typedef void hosting_trace_row_t(void* context, const struct hosting_trace_row* row);
/* message_id: "" for all; with or without angle brackets. */
typedef int hosting_trace_func_t(struct mail_user* user, const char* message_id, int64_t since,
                                 hosting_trace_row_t* row, void* context, const char** error_r);

#pragma GCC visibility push(default)
hosting_retention_func_t hosting_retention_run;
hosting_folders_func_t hosting_folders_list;
hosting_merge_func_t hosting_folders_merge;
hosting_trace_func_t hosting_trace;
#pragma GCC visibility pop

#endif

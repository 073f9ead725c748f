/* doveadm lbox status: what a user's stores hold and occupy; and the table of all commands. In C:
 * Dovecot's parameter tables are C only. */
#include "lib.h"
#include "module-dir.h"
#include "mail-namespace.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "doveadm-mail.h"
#include "doveadm-print.h"
#include "doveadm-lbox.h"
#include "lbox-admin.h"

const char* doveadm_lbox_plugin_version = DOVECOT_ABI_VERSION;

static const struct {
  const char *key, *title;
} status_columns[] = {
    {"messages", "Messages"},
    {"mailboxes", "Mailboxes"},
    {"logical", "Logical"},
    {"stored", "Stored"},
    {"allocated", "Allocated"},
    {"dead", "Dead"},
    {"packs", "Packs"},
    {"large-bodies", "Large"},
    {"index", "Index"},
    {"index-free", "Index free"},
    {"map", "Map"},
    {"map-limit", "Map limit"},
    {"format", "Format"},
    {"generation", "Gen"},
};

static void print_status(const struct lbox_admin_status* status) {
  doveadm_print(status->path);
  doveadm_print_num(status->messages);
  doveadm_print_num(status->mailboxes);
  doveadm_print_num(status->logical_bytes);
  doveadm_print_num(status->stored_bytes);
  doveadm_print_num(status->allocated_bytes);
  doveadm_print_num(status->dead_bytes);
  doveadm_print_num(status->packs);
  doveadm_print_num(status->large_bodies);
  doveadm_print_num(status->index_bytes);
  doveadm_print_num(status->index_free_bytes);
  doveadm_print_num(status->map_bytes);
  doveadm_print_num(status->map_limit_bytes);
  doveadm_print_num(status->format);
  doveadm_print_num(status->generation);
}

bool doveadm_lbox_storage_seen_before(const struct mail_namespace* ns) {
  const struct mail_namespace* prev = ns->user->namespaces;

  for (; prev != ns; prev = prev->next) {
    if (prev->storage == ns->storage)
      return TRUE;
  }
  return FALSE;
}

static int cmd_lbox_status_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  struct mail_namespace* ns;
  struct lbox_admin_status status;
  unsigned int found = 0;
  int ret;

  for (ns = user->namespaces; ns != NULL; ns = ns->next) {
    if (ns->storage == NULL || doveadm_lbox_storage_seen_before(ns))
      continue;
    ret = lbox_admin_table.status(ns->storage, ns->list, &status);
    if (ret < 0) {
      doveadm_mail_failed_storage(ctx, ns->storage);
      return -1;
    }
    if (ret > 0) {
      print_status(&status);
      found++;
    }
  }
  if (found == 0) {
    e_error(user->event, "None of the user's mail storages is lbox");
    doveadm_mail_failed_error(ctx, MAIL_ERROR_NOTFOUND);
    return -1;
  }
  return 0;
}

static void print_status_headers(void) {
  unsigned int i;

  doveadm_print_header("store", "Store", 0);
  for (i = 0; i < N_ELEMENTS(status_columns); i++) {
    doveadm_print_header(
        status_columns[i].key, status_columns[i].title,
        DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY | DOVEADM_PRINT_HEADER_FLAG_NUMBER);
  }
}

static struct doveadm_mail_cmd_context* cmd_lbox_status_alloc(void) {
  struct lbox_cmd_context* ctx = doveadm_mail_cmd_alloc(struct lbox_cmd_context);

  ctx->ctx.v.run = cmd_lbox_status_run;
  ctx->print_headers = print_status_headers;
  doveadm_lbox_set_init(ctx);
  /* 2.4 forbids this later than here. */
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  return &ctx->ctx;
}

#define LBOX_MIGRATE_USAGE                                                                      \
  "-u <user>|-F <file>|-A --from <driver:path> [--to <driver:path>] [--back] --hook <program> " \
  "[--jobs <n>] [--io-limit <MB/s>] [--tempfail <seconds>] [--state <folder>] [--dry-run]"

#define LBOX_MIGRATE_PARAMS                              \
  DOVEADM_CMD_PARAM('u', "user", CMD_PARAM_STR, 0)       \
  DOVEADM_CMD_PARAM('F', "user-file", CMD_PARAM_STR, 0)  \
  DOVEADM_CMD_PARAM('A', "all-users", CMD_PARAM_BOOL, 0) \
  DOVEADM_CMD_PARAM('f', "from", CMD_PARAM_STR, 0)       \
  DOVEADM_CMD_PARAM('t', "to", CMD_PARAM_STR, 0)         \
  DOVEADM_CMD_PARAM('b', "back", CMD_PARAM_BOOL, 0)      \
  DOVEADM_CMD_PARAM('k', "hook", CMD_PARAM_STR, 0)       \
  DOVEADM_CMD_PARAM('j', "jobs", CMD_PARAM_STR, 0)       \
  DOVEADM_CMD_PARAM('i', "io-limit", CMD_PARAM_STR, 0)   \
  DOVEADM_CMD_PARAM('T', "tempfail", CMD_PARAM_STR, 0)   \
  DOVEADM_CMD_PARAM('s', "state", CMD_PARAM_STR, 0)      \
  DOVEADM_CMD_PARAM('n', "dry-run", CMD_PARAM_BOOL, 0)

static struct doveadm_cmd_ver2 lbox_commands[] = {
    {.name = "lbox status",
     .usage = "",
     .mail_cmd = cmd_lbox_status_alloc,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON DOVEADM_CMD_PARAMS_END},
    {.name = "lbox verify",
     .usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[--fast]",
     .mail_cmd = cmd_lbox_verify_alloc,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON DOVEADM_CMD_PARAM(
         LBOX_FAST_OPTION, "fast", CMD_PARAM_BOOL, 0) DOVEADM_CMD_PARAMS_END},
    {.name = "lbox migrate",
     .usage = LBOX_MIGRATE_USAGE,
     .cmd = cmd_lbox_migrate,
     DOVEADM_CMD_PARAMS_START LBOX_MIGRATE_PARAMS DOVEADM_CMD_PARAMS_END},
    {.name = "lbox migrate-rows",
     .usage = "[--print user|boxes|new|all]",
     .flags = CMD_FLAG_HIDDEN,
     .mail_cmd = cmd_lbox_migrate_rows_alloc,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON DOVEADM_CMD_PARAM('w', "print", CMD_PARAM_STR,
                                                                        0) DOVEADM_CMD_PARAMS_END},
    {.name = "lbox repair",
     .usage = DOVEADM_CMD_MAIL_USAGE_PREFIX,
     .mail_cmd = cmd_lbox_repair_alloc,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON DOVEADM_CMD_PARAMS_END},
};

void doveadm_lbox_plugin_init(struct module* module ATTR_UNUSED) {
  unsigned int i;

  for (i = 0; i < N_ELEMENTS(lbox_commands); i++)
    doveadm_cmd_register_ver2(&lbox_commands[i]);
}

void doveadm_lbox_plugin_deinit(void) {}

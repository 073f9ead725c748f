#ifndef DOVEADM_LBOX_H
#define DOVEADM_LBOX_H

#include "doveadm-mail.h"

struct module;
struct mail_namespace;
struct doveadm_cmd_context;

#define LBOX_FAST_OPTION 'q'
#define LBOX_FAST_GETOPT "q"

/* Namespaces that share a root share one storage: each is shown once. */
bool doveadm_lbox_storage_seen_before(const struct mail_namespace* ns);

/* doveadm-verify.c */
struct doveadm_mail_cmd_context* cmd_lbox_verify_alloc(void);
struct doveadm_mail_cmd_context* cmd_lbox_repair_alloc(void);

struct lbox_cmd_context {
  struct doveadm_mail_cmd_context ctx;
  void (*print_headers)(void);
};

/* doveadm-series-*.c */
/* Lets print_headers be called behind the header that Dovecot prints when a command goes through
   several users. */
void doveadm_lbox_set_init(struct lbox_cmd_context* ctx);
/* Lets the command have options of its own, as getopt(3) names them. */
void doveadm_lbox_accept_options(struct doveadm_mail_cmd_context* ctx, const char* options);
/* Whether a storage is named by mail_driver and mail_path, not by mail_location. */
bool doveadm_lbox_driver_is_setting(void);

/* doveadm-migrate-rows.c */
struct doveadm_mail_cmd_context* cmd_lbox_migrate_rows_alloc(void);
/* doveadm-migrate.cc */
void cmd_lbox_migrate(struct doveadm_cmd_context* cctx);

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* doveadm_lbox_plugin_version;
void doveadm_lbox_plugin_init(struct module* module);
void doveadm_lbox_plugin_deinit(void);
#pragma GCC visibility pop

#endif

#ifndef DOVEADM_LBOX_H
#define DOVEADM_LBOX_H

#include "doveadm-mail.h"

struct module;
struct mail_namespace;

#define LBOX_FAST_OPTION 'q'

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
/* Lets the command have the option --fast. */
void doveadm_lbox_accept_fast(struct lbox_cmd_context* ctx);

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* doveadm_lbox_plugin_version;
void doveadm_lbox_plugin_init(struct module* module);
void doveadm_lbox_plugin_deinit(void);
#pragma GCC visibility pop

#endif

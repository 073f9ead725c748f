/* The commands `doveadm hosting ...`. They ask hosting-usage or read the policy file; results go
   through doveadm's printing, errors to the log with an exit code, so that all of it works the same
   from the command line and through doveadm's HTTP API. Plain C. */
#ifndef DOVEADM_HOSTING_H
#define DOVEADM_HOSTING_H

#include <stdbool.h>

struct doveadm_cmd_context;
struct module;
struct pool;

/* doveadm-hosting-policy.cc */
void cmd_hosting_config_check(struct doveadm_cmd_context* cctx);
void cmd_hosting_account_list(struct doveadm_cmd_context* cctx);
void cmd_hosting_account_show(struct doveadm_cmd_context* cctx);
/* doveadm-hosting-package.cc */
void cmd_hosting_set_package(struct doveadm_cmd_context* cctx);
/* doveadm-hosting-protocols.cc */
void cmd_hosting_policy_explain(struct doveadm_cmd_context* cctx);
/* doveadm-hosting-apply.cc */
void cmd_hosting_policy_apply(struct doveadm_cmd_context* cctx);
/* doveadm-hosting-usage.cc */
void cmd_hosting_usage(struct doveadm_cmd_context* cctx);
void cmd_hosting_recalc(struct doveadm_cmd_context* cctx);
void cmd_hosting_source_set(struct doveadm_cmd_context* cctx);
void cmd_hosting_warn(struct doveadm_cmd_context* cctx);
void cmd_hosting_forget(struct doveadm_cmd_context* cctx);
void cmd_hosting_reload(struct doveadm_cmd_context* cctx);
void cmd_hosting_status(struct doveadm_cmd_context* cctx);
/* doveadm-hosting-invoice.cc */
void cmd_hosting_invoice(struct doveadm_cmd_context* cctx);
/* doveadm-hosting-growth.cc */
void cmd_hosting_growth(struct doveadm_cmd_context* cctx);

/* doveadm-hosting-series-*.c: global settings, in the data stack. */
const char* doveadm_hosting_socket(void);
const char* doveadm_hosting_policy_file(void);
/* Fields ("name=value") that the userdb or the passdb gives for a user. Returns 1; 0: it does not
   know the user; -1: auth does not answer, or the passdb cannot tell. */
int doveadm_hosting_fields(const char* user, bool passdb, struct pool* pool,
                           const char* const** fields_r);

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* doveadm_hosting_plugin_version;
void doveadm_hosting_plugin_init(struct module* module);
void doveadm_hosting_plugin_deinit(void);
#pragma GCC visibility pop

#endif

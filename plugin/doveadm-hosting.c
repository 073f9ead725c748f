/* Table of the commands `doveadm hosting ...` and the module's entry points. In C: Dovecot's
 * parameter tables are C only. */
#include "lib.h"
#include "module-dir.h"
#include "doveadm.h"
#include "doveadm-cmd.h"
#include "doveadm-hosting.h"
#include "doveadm-hosting-mail.h"

const char* doveadm_hosting_plugin_version = DOVECOT_ABI_VERSION;

#define FILE_PARAM DOVEADM_CMD_PARAM('F', "file", CMD_PARAM_STR, 0)
#define ACCOUNT_PARAM DOVEADM_CMD_PARAM('\0', "account", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL)

/* Of a command for one user's mail, who is named as in the other commands; or -A for all. */
#define MAIL_USER_PARAMS                                    \
  DOVEADM_CMD_PARAM('A', "all-users", CMD_PARAM_BOOL, 0)    \
  DOVEADM_CMD_PARAM('S', "socket-path", CMD_PARAM_STR, 0)   \
  DOVEADM_CMD_PARAM('F', "user-file", CMD_PARAM_ISTREAM, 0) \
  DOVEADM_CMD_PARAM('\0', "user", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL)

static struct doveadm_cmd_ver2 hosting_commands[] = {
    {.name = "hosting config check",
     .usage = "[--file <policy file>]",
     .cmd = cmd_hosting_config_check,
     DOVEADM_CMD_PARAMS_START FILE_PARAM DOVEADM_CMD_PARAMS_END},
    {.name = "hosting account list",
     .usage = "[--file <policy file>]",
     .cmd = cmd_hosting_account_list,
     DOVEADM_CMD_PARAMS_START FILE_PARAM DOVEADM_CMD_PARAMS_END},
    {.name = "hosting account show",
     .usage = "[--file <policy file>] [--user <user>] [<account>]",
     .cmd = cmd_hosting_account_show,
     DOVEADM_CMD_PARAMS_START FILE_PARAM DOVEADM_CMD_PARAM('U', "user", CMD_PARAM_STR, 0)
         ACCOUNT_PARAM DOVEADM_CMD_PARAMS_END},
    {.name = "hosting account set-package",
     .usage = "[--dry-run] <account> <package>",
     .cmd = cmd_hosting_set_package,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAM('n', "dry-run", CMD_PARAM_BOOL, 0)
         ACCOUNT_PARAM DOVEADM_CMD_PARAM('\0', "package", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL)
             DOVEADM_CMD_PARAMS_END},
    {.name = "hosting policy apply",
     .usage = "",
     .cmd = cmd_hosting_policy_apply,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAMS_END},
    {.name = "hosting policy explain",
     .usage = "[--file <policy file>] [--service <service>] [--rip <address>] [--lport <port>] "
              "[--master] [--account <account>] [--package <package>] <user>",
     .cmd = cmd_hosting_policy_explain,
     DOVEADM_CMD_PARAMS_START FILE_PARAM DOVEADM_CMD_PARAM('s', "service", CMD_PARAM_STR, 0)
         DOVEADM_CMD_PARAM('r', "rip", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAM(
             'l', "lport", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAM('m', "master", CMD_PARAM_BOOL, 0)
             DOVEADM_CMD_PARAM('a', "account", CMD_PARAM_STR, 0)
                 DOVEADM_CMD_PARAM('p', "package", CMD_PARAM_STR, 0)
                     DOVEADM_CMD_PARAM('\0', "user", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL)
                         DOVEADM_CMD_PARAMS_END},
    {.name = "hosting usage",
     .usage = "[<account>]",
     .cmd = cmd_hosting_usage,
     DOVEADM_CMD_PARAMS_START ACCOUNT_PARAM DOVEADM_CMD_PARAMS_END},
    {.name = "hosting recalc",
     .usage = "[--web] <account or user>",
     .cmd = cmd_hosting_recalc,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAM('w', "web", CMD_PARAM_BOOL, 0) DOVEADM_CMD_PARAM(
         '\0', "name", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL) DOVEADM_CMD_PARAMS_END},
    {.name = "hosting source set",
     .usage = "<account> <source> <size>",
     .cmd = cmd_hosting_source_set,
     DOVEADM_CMD_PARAMS_START ACCOUNT_PARAM DOVEADM_CMD_PARAM('\0', "source", CMD_PARAM_STR,
                                                              CMD_PARAM_FLAG_POSITIONAL)
         DOVEADM_CMD_PARAM('\0', "size", CMD_PARAM_STR, CMD_PARAM_FLAG_POSITIONAL)
             DOVEADM_CMD_PARAMS_END},
    {.name = "hosting warn",
     .usage = "<account>",
     .cmd = cmd_hosting_warn,
     DOVEADM_CMD_PARAMS_START ACCOUNT_PARAM DOVEADM_CMD_PARAMS_END},
    {.name = "hosting forget",
     .usage = "<user>",
     .cmd = cmd_hosting_forget,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAM('\0', "name", CMD_PARAM_STR,
                                                CMD_PARAM_FLAG_POSITIONAL) DOVEADM_CMD_PARAMS_END},
    {.name = "hosting reload",
     .usage = "",
     .cmd = cmd_hosting_reload,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAMS_END},
    {.name = "hosting status",
     .usage = "",
     .cmd = cmd_hosting_status,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAMS_END},
    {.name = "hosting retention run",
     .usage = "[--dry-run] [--now <seconds>] <user>|-A",
     .mail_cmd = cmd_hosting_retention_alloc,
     DOVEADM_CMD_PARAMS_START MAIL_USER_PARAMS DOVEADM_CMD_PARAM('n', "dry-run", CMD_PARAM_BOOL, 0)
         DOVEADM_CMD_PARAM('T', "now", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAMS_END},
    {.name = "hosting folders",
     .usage = "<user>|-A",
     .mail_cmd = cmd_hosting_folders_alloc,
     DOVEADM_CMD_PARAMS_START MAIL_USER_PARAMS DOVEADM_CMD_PARAMS_END},
    {.name = "hosting merge-folders",
     .usage = "[--all] <user>|-A",
     .mail_cmd = cmd_hosting_merge_alloc,
     DOVEADM_CMD_PARAMS_START MAIL_USER_PARAMS DOVEADM_CMD_PARAM('a', "all", CMD_PARAM_BOOL, 0)
         DOVEADM_CMD_PARAMS_END},
    {.name = "hosting trace",
     .usage = "[--message-id <id>] [--since <time>] <user>",
     .mail_cmd = cmd_hosting_trace_alloc,
     DOVEADM_CMD_PARAMS_START MAIL_USER_PARAMS DOVEADM_CMD_PARAM(
         'i', "message-id", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAM('s', "since", CMD_PARAM_STR, 0)
         DOVEADM_CMD_PARAMS_END},
    {.name = "hosting growth",
     .usage = "[--top <number>|--soon <days>] [--history days|hours|sources] [--warnings] [--csv] "
              "[<account>]",
     .cmd = cmd_hosting_growth,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAM('t', "top", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAM(
         's', "soon", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAM('y', "history", CMD_PARAM_STR, 0)
         DOVEADM_CMD_PARAM('w', "warnings", CMD_PARAM_BOOL, 0)
             DOVEADM_CMD_PARAM('c', "csv", CMD_PARAM_BOOL, 0) ACCOUNT_PARAM DOVEADM_CMD_PARAMS_END},
    {.name = "hosting invoice",
     .usage = "--month <YYYY-MM> [--csv|--samples] [<account>]",
     .cmd = cmd_hosting_invoice,
     DOVEADM_CMD_PARAMS_START DOVEADM_CMD_PARAM('m', "month", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAM(
         'c', "csv", CMD_PARAM_BOOL, 0) DOVEADM_CMD_PARAM('s', "samples", CMD_PARAM_BOOL, 0)
         ACCOUNT_PARAM DOVEADM_CMD_PARAMS_END},
};

void doveadm_hosting_plugin_init(struct module* module ATTR_UNUSED) {
  unsigned int i;

  for (i = 0; i < N_ELEMENTS(hosting_commands); i++)
    doveadm_cmd_register_ver2(&hosting_commands[i]);
}

void doveadm_hosting_plugin_deinit(void) {}

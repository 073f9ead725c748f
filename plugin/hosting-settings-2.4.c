#include "lib.h"
#include "settings-parser.h"
#include "hosting-settings-2.4.h"
#include "hosting-defaults.h"

#undef DEF
#define DEF(type, name) SETTING_DEFINE_STRUCT_##type(#name, name, struct hosting_settings)

static const struct setting_define hosting_setting_defines[] = {
    DEF(STR, hosting_socket),         DEF(STR, hosting_spool),
    DEF(STR, hosting_policy_file),    DEF(STR, hosting_login_table),
    DEF(ENUM, hosting_login_default), DEF(STR, hosting_account),
    DEF(STR, hosting_package),        DEF(TIME_MSECS, hosting_timeout),
    DEF(BOOL, hosting_event_account), SETTING_DEFINE_LIST_END};

static const struct hosting_settings hosting_default_settings = {
    .hosting_socket = HOSTING_DEFAULT_SOCKET,
    .hosting_spool = HOSTING_DEFAULT_SPOOL,
    .hosting_policy_file = HOSTING_DEFAULT_POLICY_FILE,
    .hosting_login_table = HOSTING_DEFAULT_LOGIN_TABLE,
    .hosting_login_default = "allow:deny",
    .hosting_account = "",
    .hosting_package = "",
    .hosting_timeout = HOSTING_DEFAULT_TIMEOUT_MS,
    .hosting_event_account = FALSE,
};

const struct setting_parser_info hosting_setting_parser_info = {
    .name = "hosting",

    .defines = hosting_setting_defines,
    .defaults = &hosting_default_settings,

    .struct_size = sizeof(struct hosting_settings),
    .pool_offset1 = 1 + offsetof(struct hosting_settings, pool),
};

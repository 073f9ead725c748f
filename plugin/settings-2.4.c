#include "lib.h"
#include "settings-parser.h"
#include "settings-2.4.h"

#undef DEF
#define DEF(type, name) SETTING_DEFINE_STRUCT_##type(#name, name, struct lbox_settings)

static const struct setting_define lbox_setting_defines[] = {
    {.type = SET_FILTER_NAME, .key = "lbox"}, DEF(BOOL, lbox_allow_fuse), SETTING_DEFINE_LIST_END};

static const struct lbox_settings lbox_default_settings = {
    .lbox_allow_fuse = FALSE,
};

/* The names are those of series.h. */
static const struct setting_keyvalue lbox_default_settings_keyvalue[] = {
    {"lbox/mailbox_root_directory_name", "boxes"},
    {"lbox/mailbox_directory_name", "lbox-Mails"},
    {"lbox/mailbox_list_layout", "index"},
    {"lbox/mail_path", "%{home}/lbox"},
    {NULL, NULL}};

const struct setting_parser_info lbox_setting_parser_info = {
    .name = "lbox",

    .defines = lbox_setting_defines,
    .defaults = &lbox_default_settings,
    .default_settings = lbox_default_settings_keyvalue,

    .struct_size = sizeof(struct lbox_settings),
    .pool_offset1 = 1 + offsetof(struct lbox_settings, pool),
};

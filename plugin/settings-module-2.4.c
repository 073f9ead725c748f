/* Entry points of modules/settings/liblbox_settings.so. */
#include "lib.h"
#include "settings-parser.h"
#include "settings-2.4.h"

#pragma GCC visibility push(default)
extern const struct setting_parser_info* lbox_settings_set_infos[];
extern const char* lbox_settings_version;
#pragma GCC visibility pop

const struct setting_parser_info* lbox_settings_set_infos[] = {&lbox_setting_parser_info, NULL};
const char* lbox_settings_version = DOVECOT_ABI_VERSION;

/* Entry points of modules/settings/libhosting_settings.so. */
#include "lib.h"
#include "settings-parser.h"
#include "hosting-settings-2.4.h"

#pragma GCC visibility push(default)
extern const struct setting_parser_info* hosting_settings_set_infos[];
extern const char* hosting_settings_version;
#pragma GCC visibility pop

const struct setting_parser_info* hosting_settings_set_infos[] = {&hosting_setting_parser_info,
                                                                  NULL};
const char* hosting_settings_version = DOVECOT_ABI_VERSION;

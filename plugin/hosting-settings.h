// Settings and userdb fields of one mail user, as the plugin "hosting" uses them.
#pragma once

#include "plugin/hosting-series.h"

// The fields win over settings. A field that is no size is logged and counts as not given. Returns
// 0, or -1 with *error_r.
int hosting_settings_read(struct mail_user* user, hosting_settings_values* values_r,
                          const char** error_r);

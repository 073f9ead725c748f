/* What differs for the plugin "imap_hosting" in Dovecot 2.4: settings of their own, with defaults.
 */
#include "lib.h"
#include "settings.h"
#include "mail-user.h"
#include "hosting-defaults.h"
#include "hosting-settings-2.4.h"
#include "imap-hosting.h"

const char* imap_hosting_setting(struct mail_user* user, const char* name, const char* fallback) {
  const struct hosting_settings* set;
  const char *value, *error;

  if (settings_get(user->event, &hosting_setting_parser_info, 0, &set, &error) < 0) {
    e_error(user->event, "hosting: %s", error);
    return fallback;
  }
  value = strcmp(name, "hosting_socket") == 0        ? set->hosting_socket
          : strcmp(name, "hosting_login_table") == 0 ? set->hosting_login_table
          : strcmp(name, "hosting_account") == 0     ? set->hosting_account
          : strcmp(name, "hosting_package") == 0     ? set->hosting_package
                                                     : fallback;
  value = t_strdup(value);
  settings_free(set);
  return value;
}

unsigned int imap_hosting_patience(struct mail_user* user) {
  const struct hosting_settings* set;
  const char* error;
  unsigned int msecs;

  if (settings_get(user->event, &hosting_setting_parser_info, 0, &set, &error) < 0)
    return HOSTING_DEFAULT_TIMEOUT_MS; /* imap_hosting_setting() tells */
  msecs = set->hosting_timeout;
  settings_free(set);
  return msecs;
}

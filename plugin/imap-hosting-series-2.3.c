/* What differs for the plugin "imap_hosting" in Dovecot 2.3: settings are those of the plugin
 * block. */
#include "lib.h"
#include "settings-parser.h"
#include "mail-user.h"
#include "hosting-defaults.h"
#include "imap-hosting.h"

const char* imap_hosting_setting(struct mail_user* user, const char* name, const char* fallback) {
  const char* value = mail_user_plugin_getenv(user, name);

  return value != NULL ? value : fallback;
}

/* A value that is no time is told by the plugin "hosting". */
unsigned int imap_hosting_patience(struct mail_user* user) {
  const char* value = mail_user_plugin_getenv(user, "hosting_timeout");
  const char* error;
  unsigned int msecs;

  if (value == NULL || settings_get_time_msecs(value, &msecs, &error) < 0)
    return HOSTING_DEFAULT_TIMEOUT_MS;
  return msecs;
}

/* What differs for the plugin "imap_hosting" in Dovecot 2.3: settings are those of the plugin
 * block. */
#include "lib.h"
#include "mail-user.h"
#include "imap-hosting.h"

const char* imap_hosting_setting(struct mail_user* user, const char* name, const char* fallback) {
  const char* value = mail_user_plugin_getenv(user, name);

  return value != NULL ? value : fallback;
}

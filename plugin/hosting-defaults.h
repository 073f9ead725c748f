/* Defaults of the settings of "hosting" (docs/settings.md). Plain C. */
#ifndef HOSTING_DEFAULTS_H
#define HOSTING_DEFAULTS_H

#define HOSTING_DEFAULT_SOCKET "hosting-usage" /* below base_dir */
#define HOSTING_DEFAULT_SPOOL "/var/lib/dovecot/hosting/spool"
#define HOSTING_DEFAULT_POLICY_FILE "/etc/dovecot/hosting.toml"
#define HOSTING_DEFAULT_LOGIN_TABLE "/var/lib/dovecot/hosting/policy.logins"
#define HOSTING_DEFAULT_TIMEOUT_MS 50

#endif

/* Settings of the plugin "hosting" for Dovecot 2.4. Compiled both into the plugin and into
   modules/settings/libhosting_settings.so, from which the config process learns their names. Plain
   C: only C can express Dovecot's tables. */
#ifndef HOSTING_SETTINGS_2_4_H
#define HOSTING_SETTINGS_2_4_H

struct hosting_settings {
  pool_t pool;
  const char* hosting_socket;
  const char* hosting_spool;
  const char* hosting_policy_file;
  const char* hosting_login_table;
  const char* hosting_login_default; /* allow, deny */
  const char* hosting_account;
  const char* hosting_package;
  unsigned int hosting_timeout; /* ms */
  bool hosting_event_account;
};

#ifdef __cplusplus
extern "C"
#else
extern
#endif
    const struct setting_parser_info hosting_setting_parser_info;

#endif

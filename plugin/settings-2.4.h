/* Settings of the lbox storage for Dovecot 2.4. Compiled both into the plugin and into
   modules/settings/liblbox_settings.so, from which the config process learns their names and the
   storage's defaults. Plain C: only C can express Dovecot's tables. */
#ifndef LBOX_SETTINGS_2_4_H
#define LBOX_SETTINGS_2_4_H

struct lbox_settings {
  pool_t pool;
  bool lbox_allow_fuse;
};

#ifdef __cplusplus
extern "C"
#else
extern
#endif
    const struct setting_parser_info lbox_setting_parser_info;

#endif

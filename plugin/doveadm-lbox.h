#ifndef DOVEADM_LBOX_H
#define DOVEADM_LBOX_H

struct module;

extern const char *doveadm_lbox_plugin_version;
void doveadm_lbox_plugin_init(struct module *module);
void doveadm_lbox_plugin_deinit(void);

#endif

#ifndef DOVEADM_LBOX_H
#define DOVEADM_LBOX_H

struct module;

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* doveadm_lbox_plugin_version;
void doveadm_lbox_plugin_init(struct module* module);
void doveadm_lbox_plugin_deinit(void);
#pragma GCC visibility pop

#endif

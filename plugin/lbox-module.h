#ifndef LBOX_MODULE_H
#define LBOX_MODULE_H

extern struct mail_storage lbox_storage_class;

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* lbox_plugin_version;
void lbox_plugin_init(struct module* module);
void lbox_plugin_deinit(void);
#pragma GCC visibility pop

#endif

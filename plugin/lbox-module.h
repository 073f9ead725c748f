#ifndef LBOX_MODULE_H
#define LBOX_MODULE_H

extern struct mail_storage lbox_storage_class;
/* Hook, before anything is listed or opened (after-boot.cc). */
void lbox_namespaces_created(struct mail_namespace* namespaces);

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* lbox_plugin_version;
void lbox_plugin_init(struct module* module);
void lbox_plugin_deinit(void);
#pragma GCC visibility pop

#endif

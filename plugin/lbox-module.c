/* Entry points of lib20_lbox_plugin.so. In C: the ABI string must have external linkage for Dovecot
 * to check it. */
#include "lib.h"
#include "module-dir.h"
#include "mail-storage-private.h"
#include "mail-storage-hooks.h"
#include "lbox-module.h"

const char* lbox_plugin_version = DOVECOT_ABI_VERSION;

static struct mail_storage_hooks lbox_storage_hooks = {
    .mail_namespaces_created = lbox_namespaces_created,
};

void lbox_plugin_init(struct module* module) {
  mail_storage_class_register(&lbox_storage_class);
  mail_storage_hooks_add(module, &lbox_storage_hooks);
}

void lbox_plugin_deinit(void) {
  mail_storage_hooks_remove(&lbox_storage_hooks);
  mail_storage_class_unregister(&lbox_storage_class);
}

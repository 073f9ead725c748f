/* Entry points of lib20_lbox_plugin.so. In C: the ABI string must have external linkage for Dovecot
 * to check it. */
#include "lib.h"
#include "module-dir.h"
#include "mail-storage-private.h"
#include "lbox-module.h"

const char* lbox_plugin_version = DOVECOT_ABI_VERSION;

void lbox_plugin_init(struct module* module ATTR_UNUSED) {
  mail_storage_class_register(&lbox_storage_class);
}

void lbox_plugin_deinit(void) {
  mail_storage_class_unregister(&lbox_storage_class);
}

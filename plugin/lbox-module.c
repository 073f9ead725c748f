/* Entry points of lib20_lbox_plugin.so. In C: the ABI string must have external linkage for Dovecot
 * to check it. */
#include <malloc.h>

#include "lib.h"
#include "module-dir.h"
#include "mail-storage-private.h"
#include "mail-storage-hooks.h"
#include "lbox-module.h"
#include "idle-store.h"
#include "migrate-enter.h"

const char* lbox_plugin_version = DOVECOT_ABI_VERSION;

static void namespaces_created(struct mail_namespace* namespaces) {
  if (lbox_migrate_enter(namespaces))
    lbox_namespaces_created(namespaces);
}

static struct mail_storage_hooks lbox_storage_hooks = {
    .mail_namespaces_created = namespaces_created,
    .mail_allocated = lbox_migrate_mail_allocated,
};

/* Opening a store, LMDB callocs 2 MiB for its list of dirty pages. glibc takes that from the
 * kernel, zeroed and untouched, as long as its threshold has not risen; it does with the first such
 * block that is freed, and from then on each delivery would zero 2 MiB: a tenth of its CPU time.
 * Setting the threshold keeps it where it is. It also fixes the other one, at 128 kB: buffers of
 * large messages, and the messages of a batch, which wait in up to 4 MiB of memory until it is saved,
 * would be given back to the kernel and taken again, page by page. */
enum { LBOX_MMAP_THRESHOLD = 1024 * 1024, LBOX_TRIM_THRESHOLD = 8 * 1024 * 1024 };

void lbox_plugin_init(struct module* module) {
  (void)mallopt(M_MMAP_THRESHOLD, LBOX_MMAP_THRESHOLD);
  (void)mallopt(M_TRIM_THRESHOLD, LBOX_TRIM_THRESHOLD);
  mail_storage_class_register(&lbox_storage_class);
  mail_storage_hooks_add(module, &lbox_storage_hooks);
}

void lbox_plugin_deinit(void) {
  lbox_idle_store_close();
  mail_storage_hooks_remove(&lbox_storage_hooks);
  mail_storage_class_unregister(&lbox_storage_class);
}

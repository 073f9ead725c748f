/* Entry points of lib85_hosting_plugin.so, the plugin "hosting" (hosting-user.h). In C: the ABI
 * string must have external linkage for Dovecot to check it. */
#include "lib.h"
#include "module-dir.h"
#include "mail-storage-private.h"
#include "mail-storage-hooks.h"
#include "quota-private.h"
#include "hosting-module.h"

const char* hosting_plugin_version = DOVECOT_ABI_VERSION;
const char* hosting_plugin_dependencies[] = {"quota", NULL};

static struct mail_storage_hooks hosting_storage_hooks = {
    .mail_user_created = hosting_mail_user_created,
    .mail_namespaces_created = hosting_mail_namespaces_created,
    .mailbox_allocated = hosting_mailbox_allocated,
    .mail_allocated = hosting_mail_allocated,
};

void hosting_plugin_init(struct module* module) {
  quota_backend_register(&hosting_quota_backend);
  quota_backend_register(&hosting_mailbox_quota_backend);
  mail_storage_hooks_add(module, &hosting_storage_hooks);
}

void hosting_plugin_deinit(void) {
  mail_storage_hooks_remove(&hosting_storage_hooks);
  quota_backend_unregister(&hosting_mailbox_quota_backend);
  quota_backend_unregister(&hosting_quota_backend);
  hosting_linger_deinit();
}

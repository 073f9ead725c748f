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
    .mail_allocated = hosting_mail_allocated,
};

/* Dovecot runs hooks in the order of the modules' file names, and what is hooked first is called
   first. The plugin is loaded behind quota, which it needs, but its functions of mailboxes go
   around those of quota: so these hooks have a name of their own. */
static struct module hosting_outer_module;
static struct mail_storage_hooks hosting_outer_hooks = {
    .mailbox_allocated = hosting_mailbox_allocated,
};

static struct mail_storage_hooks hosting_removals_hooks = {
    .mailbox_allocated = hosting_removals_mailbox_allocated,
    .mail_allocated = hosting_removals_mail_allocated,
};

void hosting_plugin_init(struct module* module) {
  quota_backend_register(&hosting_quota_backend);
  quota_backend_register(&hosting_mailbox_quota_backend);
  mail_storage_hooks_add(module, &hosting_storage_hooks);
  hosting_outer_module = *module;
  hosting_outer_module.path = (char*)"lib00_hosting_plugin.so";
  mail_storage_hooks_add(&hosting_outer_module, &hosting_removals_hooks);
  mail_storage_hooks_add(&hosting_outer_module, &hosting_outer_hooks);
  hosting_pop3_init();
}

void hosting_plugin_deinit(void) {
  hosting_pop3_deinit();
  mail_storage_hooks_remove(&hosting_outer_hooks);
  mail_storage_hooks_remove(&hosting_removals_hooks);
  mail_storage_hooks_remove(&hosting_storage_hooks);
  quota_backend_unregister(&hosting_mailbox_quota_backend);
  quota_backend_unregister(&hosting_quota_backend);
  hosting_deliver_deinit();
  hosting_linger_deinit();
}

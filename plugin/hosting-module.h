#ifndef HOSTING_MODULE_H
#define HOSTING_MODULE_H

struct mail;
struct mailbox;
struct mail_namespace;
struct mail_user;
struct module;
struct quota_backend;

/* hosting-quota.cc */
extern const struct quota_backend hosting_quota_backend, hosting_mailbox_quota_backend;

/* Hooks (hosting-hooks.cc), run behind those of the plugins quota and trash but for the one of
 * mailboxes. */
void hosting_mail_user_created(struct mail_user* user);
void hosting_mail_namespaces_created(struct mail_namespace* namespaces);
void hosting_mailbox_allocated(struct mailbox* box);
void hosting_mail_allocated(struct mail* mail);
/* Hooks of hosting-removals.cc, before those of all other plugins. */
void hosting_removals_mailbox_allocated(struct mailbox* box);
void hosting_removals_mail_allocated(struct mail* mail);
/* hosting-pop3.cc: in the program pop3 the plugin meets its clients. */
void hosting_pop3_init(void);
void hosting_pop3_deinit(void);
/* Ends what sessions have left to be answered (hosting-linger.cc). */
void hosting_linger_deinit(void);

/* Gives the delivery of mail back (hosting-deliver.cc). */
void hosting_deliver_deinit(void);

/* The rest of the module is hidden. */
#pragma GCC visibility push(default)
extern const char* hosting_plugin_version;
extern const char* hosting_plugin_dependencies[];
void hosting_plugin_init(struct module* module);
void hosting_plugin_deinit(void);
#pragma GCC visibility pop

#endif

/* Counting a user's mail from scratch, which the program hosting-recount asks of the plugin
   "hosting". The plugin is loaded with the user, so its function is looked up by name. Plain C. */
#ifndef HOSTING_RECOUNT_H
#define HOSTING_RECOUNT_H

struct mail_user;

#define HOSTING_RECOUNT_SYMBOL "hosting_recount_user"

/* Counts all mail of the user and reports it as such. force: sizes that Dovecot keeps are looked up
   again in every message, too. Returns 1 once the report is durable, 0 if the user has no part in
   it (no quota root of the plugin's, no account), -1 with *error_r, which lives until the next
   call. */
typedef int hosting_recount_func_t(struct mail_user* user, int force, const char** error_r);

#pragma GCC visibility push(default)
hosting_recount_func_t hosting_recount_user;
#pragma GCC visibility pop

#endif

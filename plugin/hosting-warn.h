/* Delivering a growth warning into a user's mailbox, which the program hosting-warn asks of the
   plugin "hosting". The plugin is loaded with the user, so its function is looked up by name. Plain
   C. */
#ifndef HOSTING_WARN_H
#define HOSTING_WARN_H

#include <stddef.h>

struct mail_user;

#define HOSTING_WARN_SYMBOL "hosting_warn_user"

/* job: a WarnJob of usage.proto. Returns 1 once the mail is in INBOX, 0 if the user has no part in
   it (no quota root of the plugin's), -1 if nothing was delivered; *text_r lives until the next
   call. */
typedef int hosting_warn_func_t(struct mail_user* user, const void* job, size_t size,
                                const char** text_r);

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C"
#endif
    hosting_warn_func_t hosting_warn_user;
#pragma GCC visibility pop

#endif

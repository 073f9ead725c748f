/* What differs for the program hosting-recount between Dovecot 2.3 and 2.4, and
 * for hosting-warn, which becomes users in the same way. Plain C. */
#ifndef HOSTING_RECOUNT_SERIES_H
#define HOSTING_RECOUNT_SERIES_H

struct mail_storage_service_ctx;
struct mail_user;

extern const int hosting_recount_service_flags; /* enum master_service_flags */
/* What has to be read before privileges are dropped. */
void hosting_recount_series_preinit(const char* service);
struct mail_storage_service_ctx* hosting_recount_series_init(int flags);
/* Looks the user up and becomes them. Returns 1, 0 if there is no such
   user, -1 with *error_r. */
int hosting_recount_series_user(struct mail_storage_service_ctx* ctx, const char* service,
                                const char* username, struct mail_user** user_r,
                                const char** error_r);
void hosting_recount_series_user_free(struct mail_user** user);

#endif

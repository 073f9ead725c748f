#include "lib.h"
#include "mail-storage-service.h"
#include "mail-user.h"
#include "master-service.h"
#include "master-service-settings.h"
#include "hosting-recount-series.h"

const int hosting_recount_service_flags = 0;

void hosting_recount_series_preinit(const char* service ATTR_UNUSED) {
  const char* error;

  if (master_service_settings_read_simple(master_service, &error) < 0)
    i_fatal("%s", error);
}

struct mail_storage_service_ctx* hosting_recount_series_init(int flags) {
  return mail_storage_service_init(master_service, (enum mail_storage_service_flags)flags);
}

int hosting_recount_series_user(struct mail_storage_service_ctx* ctx, const char* service,
                                const char* username, struct mail_user** user_r,
                                const char** error_r) {
  struct mail_storage_service_input input;
  int ret;

  i_zero(&input);
  input.service = service;
  input.username = username;
  ret = mail_storage_service_lookup_next(ctx, &input, user_r, error_r);
  return ret < 0 ? -1 : ret;
}

void hosting_recount_series_user_free(struct mail_user** user) {
  mail_storage_service_io_deactivate_user((*user)->service_user);
  mail_user_deinit(user);
}

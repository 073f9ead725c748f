#include "lib.h"
#include "restrict-access.h"
#include "mail-storage-service.h"
#include "mail-user.h"
#include "master-service.h"
#include "master-service-settings.h"
#include "hosting-recount-series.h"

const int hosting_recount_service_flags = MASTER_SERVICE_FLAG_KEEP_CONFIG_OPEN;

static struct mail_storage_service_user* service_user;

void hosting_recount_series_preinit(const char* service) {
  struct restrict_access_settings set;
  struct master_service_settings_input input;
  struct master_service_settings_output output;
  const char* error;

  restrict_access_get_env(&set);
  if (set.uid == 0)
    return;
  i_zero(&input);
  input.module = "mail";
  input.service = service;
  (void)master_service_settings_read(master_service, &input, &output, &error);
}

struct mail_storage_service_ctx* hosting_recount_series_init(int flags) {
  return mail_storage_service_init(master_service, NULL, (enum mail_storage_service_flags)flags);
}

int hosting_recount_series_user(struct mail_storage_service_ctx* ctx, const char* service,
                                const char* username, struct mail_user** user_r,
                                const char** error_r) {
  struct mail_storage_service_input input;
  int ret;

  i_zero(&input);
  input.module = "mail";
  input.service = service;
  input.username = username;
  ret = mail_storage_service_lookup_next(ctx, &input, &service_user, user_r, error_r);
  return ret < 0 ? -1 : ret;
}

void hosting_recount_series_user_free(struct mail_user** user) {
  mail_storage_service_io_deactivate_user(service_user);
  mail_user_deinit(user);
  mail_storage_service_user_unref(&service_user);
}

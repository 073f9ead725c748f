/* Global settings for `doveadm hosting` in Dovecot 2.4. */
#include "lib.h"
#include "master-service.h"
#include "settings.h"
#include "auth-master.h"
#include "doveadm.h"
#include "doveadm-hosting.h"
#include "doveadm-hosting-mail.h"
#include "hosting-defaults.h"
#include "hosting-settings-2.4.h"

/* NULL where modules/settings/libhosting_settings.so is not installed, so
   that nothing can be configured. */
static const struct hosting_settings* get_settings(void) {
  const struct hosting_settings* set;
  const char* error;

  if (settings_get(master_service_get_event(master_service), &hosting_setting_parser_info, 0, &set,
                   &error) == 0)
    return set;
  if (strstr(error, "has no settings struct named") == NULL)
    i_error("%s", error);
  return NULL;
}

const char* doveadm_hosting_socket(void) {
  const struct hosting_settings* set = get_settings();
  const char* path = t_strdup(set == NULL ? HOSTING_DEFAULT_SOCKET : set->hosting_socket);

  settings_free(set);
  return *path == '/' ? path : t_strconcat(doveadm_settings->base_dir, "/", path, NULL);
}

const char* doveadm_hosting_policy_file(void) {
  const struct hosting_settings* set = get_settings();
  const char* path = t_strdup(set == NULL ? HOSTING_DEFAULT_POLICY_FILE : set->hosting_policy_file);

  settings_free(set);
  return path;
}

static void init_mail(struct doveadm_mail_cmd_context* ctx) {
  struct hosting_mail_cmd* cmd = container_of(ctx, struct hosting_mail_cmd, ctx);

  cmd->print_headers();
}

void doveadm_hosting_mail_init(struct hosting_mail_cmd* cmd) {
  cmd->ctx.v.init = init_mail;
}

int doveadm_hosting_fields(const char* user, bool passdb, struct pool* pool,
                           const char* const** fields_r) {
  struct auth_user_info info;
  struct auth_master_connection* conn = auth_master_init(doveadm_settings->auth_socket_path, 0);
  const char* name;
  int ret;

  i_zero(&info);
  info.protocol = "doveadm";
  ret = passdb ? auth_master_pass_lookup(conn, user, &info, pool, fields_r)
               : auth_master_user_lookup(conn, user, &info, pool, &name, fields_r);
  auth_master_deinit(&conn);
  return ret;
}

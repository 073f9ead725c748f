/* Global settings for `doveadm hosting` in Dovecot 2.3: those of the plugin block. */
#include "lib.h"
#include "array.h"
#include "auth-master.h"
#include "doveadm.h"
#include "doveadm-hosting.h"
#include "doveadm-hosting-mail.h"
#include "hosting-defaults.h"

static const char* setting(const char* name, const char* fallback) {
  const char* const* envs;
  unsigned int i, count;

  if (!array_is_created(&doveadm_settings->plugin_envs))
    return fallback;
  envs = array_get(&doveadm_settings->plugin_envs, &count);
  for (i = 0; i + 1 < count; i += 2) {
    if (strcmp(envs[i], name) == 0)
      return envs[i + 1];
  }
  return fallback;
}

const char* doveadm_hosting_socket(void) {
  const char* path = setting("hosting_socket", HOSTING_DEFAULT_SOCKET);

  return *path == '/' ? path : t_strconcat(doveadm_settings->base_dir, "/", path, NULL);
}

const char* doveadm_hosting_policy_file(void) {
  return setting("hosting_policy_file", HOSTING_DEFAULT_POLICY_FILE);
}

static void init_mail(struct doveadm_mail_cmd_context* ctx, const char* const args[] ATTR_UNUSED) {
  struct hosting_mail_cmd* cmd = container_of(ctx, struct hosting_mail_cmd, ctx);

  cmd->print_headers();
}

/* Options are read by name; getopt has to be told of them, too. */
static bool accept_option(struct doveadm_mail_cmd_context* ctx ATTR_UNUSED, int c ATTR_UNUSED) {
  return TRUE;
}

void doveadm_hosting_mail_init(struct hosting_mail_cmd* cmd) {
  cmd->ctx.v.init = init_mail;
  cmd->ctx.getopt_args = "nT:i:s:a";
  cmd->ctx.v.parse_arg = accept_option;
}

int doveadm_hosting_fields(const char* user, bool passdb, struct pool* pool,
                           const char* const** fields_r) {
  struct auth_user_info info;
  struct auth_master_connection* conn = auth_master_init(doveadm_settings->auth_socket_path, 0);
  const char* name;
  int ret;

  i_zero(&info);
  info.service = "doveadm";
  ret = passdb ? auth_master_pass_lookup(conn, user, &info, pool, fields_r)
               : auth_master_user_lookup(conn, user, &info, pool, &name, fields_r);
  auth_master_deinit(&conn);
  return ret;
}

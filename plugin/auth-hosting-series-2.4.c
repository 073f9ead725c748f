/* What differs for the auth module "hosting" in Dovecot 2.4: it has settings of its own. */
#include "auth-common.h"
#include "settings.h"
#include "auth.h"
#include "auth-request.h"
#include "passdb.h"
#include "hosting-settings-2.4.h"
#include "auth-hosting.h"

static int auth_hosting_preinit(pool_t pool, struct event* event, struct passdb_module** module_r,
                                const char** error_r) {
  const struct hosting_settings* set;

  if (settings_get(event, &hosting_setting_parser_info, 0, &set, error_r) < 0)
    return -1;
  auth_hosting_configure(set->hosting_login_table, strcmp(set->hosting_login_default, "deny") == 0);
  settings_free(set);
  *module_r = p_new(pool, struct passdb_module, 1);
  return 0;
}

struct passdb_module_interface auth_hosting_passdb = {
    .name = "hosting",
    .preinit = auth_hosting_preinit,
};

const struct mechanisms_register* auth_hosting_mechanisms(void) {
  return auth_default_protocol()->reg;
}

const char* auth_hosting_service(const struct auth_request* request) {
  return request->fields.protocol;
}

void auth_hosting_need_userdb_reply(struct auth_request* request) {
  if (request->fields.userdb_reply == NULL)
    auth_request_init_userdb_reply(request);
}

void auth_hosting_no_delay(struct auth_request* request) {
  request->failure_nodelay = TRUE;
}

/* What differs for the auth module "hosting" in Dovecot 2.3: a passdb is configured by args. */
#include "auth-common.h"
#include "auth.h"
#include "auth-fields.h"
#include "auth-request.h"
#include "passdb.h"
#include "hosting-defaults.h"
#include "auth-hosting.h"

static struct passdb_module* auth_hosting_preinit(pool_t pool, const char* args) {
  const char* table = HOSTING_DEFAULT_LOGIN_TABLE;
  const char* const* arg;
  bool deny_default = FALSE;

  for (arg = t_strsplit_spaces(args, " "); *arg != NULL; arg++) {
    if (strcmp(*arg, "default=deny") == 0)
      deny_default = TRUE;
    else if (strncmp(*arg, "default=", 8) == 0 && strcmp(*arg, "default=allow") != 0)
      i_fatal("passdb hosting: default is allow or deny, not %s", *arg + 8);
    else if (**arg == '/')
      table = *arg;
    else if (strcmp(*arg, "default=allow") != 0)
      i_fatal("passdb hosting: Unknown argument: %s", *arg);
  }
  auth_hosting_configure(table, deny_default);
  return p_new(pool, struct passdb_module, 1);
}

struct passdb_module_interface auth_hosting_passdb = {
    .name = "hosting",
    .preinit = auth_hosting_preinit,
};

const struct mechanisms_register* auth_hosting_mechanisms(void) {
  return auth_default_service()->reg;
}

const char* auth_hosting_service(const struct auth_request* request) {
  return request->fields.service;
}

void auth_hosting_need_userdb_reply(struct auth_request* request) {
  if (request->fields.userdb_reply == NULL)
    auth_request_init_userdb_reply(request, FALSE);
}

void auth_hosting_no_delay(struct auth_request* request) {
  auth_fields_add(request->fields.extra_fields, "nodelay", NULL, AUTH_FIELD_FLAG_HIDDEN);
}

#include "auth-common.h"
#include "array.h"
#include "ioloop.h"
#include "module-dir.h"
#include "net.h"
#include "auth.h"
#include "auth-fields.h"
#include "auth-request.h"
#include "auth-request-handler.h"
#include "auth-request-handler-private.h"
#include "mech.h"
#include "passdb.h"
#include "auth-hosting.h"

/* A mechanism of auth's, and its first call. */
struct hooked_mech {
  struct mech_module* module;
  void (*initial)(struct auth_request* request, const unsigned char* data, size_t data_size);
};

static ARRAY(struct hooked_mech) hooked_mechs;
/* The same for all handlers. */
static auth_request_handler_reply_callback_t* next_reply;

static void log_line(const char* line) {
  e_error(auth_event, "hosting: %s", line);
}

static const char* field_of(struct auth_request* request, const char* name) {
  const char* value = auth_fields_find(request->fields.extra_fields, name);

  if (value == NULL && request->fields.userdb_reply != NULL)
    value = auth_fields_find(request->fields.userdb_reply, name);
  return value == NULL || *value == '\0' ? NULL : value;
}

/* A login that is denied must not be proxied or referred either, and its password goes nowhere. */
static void remove_destination(struct auth_request* request) {
  static const char* const names[] = {"proxy",  "proxy_maybe", "proxy_always", "host",
                                      "hostip", "port",        "destuser",     "pass"};
  unsigned int i;

  for (i = 0; i < N_ELEMENTS(names); i++)
    auth_fields_remove(request->fields.extra_fields, names[i]);
}

static void log_decision(struct auth_request* request, const char* what,
                         const struct auth_hosting_answer* answer) {
  struct event* event = event_create(request->event);
  const char* service = auth_hosting_service(request);

  event_set_min_log_level(event, LOG_TYPE_INFO); /* requests log warnings only */
  event_add_str(event, "decision", what);
  event_add_str(event, "protocol", service);
  event_add_str(event, "rule", answer->reason);
  e_info(event_create_passthrough(event)->set_name("hosting_login")->event(),
         "hosting: user=<%s>, protocol=%s: login %s (%s)", request->fields.user, service, what,
         answer->reason);
  event_unref(&event);
}

/* Programs other than Dovecot's login processes (Postfix, Exim) know no nologin: for them the login
   has to fail. As a failure it neither is delayed nor counts for the address. */
static void deny(struct auth_request* request, enum auth_client_result* result,
                 const struct auth_hosting_answer* answer) {
  struct auth_fields* fields = request->fields.extra_fields;

  remove_destination(request);
  auth_fields_add(fields, "reason", answer->text, 0);
  if (request->handler->master_callback != NULL && !answer->alert) {
    auth_fields_add(fields, "nologin", NULL, 0);
    return;
  }
  auth_hosting_no_delay(request);
  request->passdb_result = PASSDB_RESULT_USER_DISABLED;
  *result = AUTH_CLIENT_RESULT_FAILURE;
}

static void decide(struct auth_request* request, enum auth_client_result* result) {
  struct auth_hosting_login login;
  struct auth_hosting_answer answer;

  if (request->fields.user == NULL)
    return;
  i_zero(&login);
  login.user = request->fields.user;
  login.service = auth_hosting_service(request);
  login.account = field_of(request, "hosting_account");
  login.package = field_of(request, "hosting_package");
  if (request->fields.real_remote_ip.family != 0)
    login.entry_hop = net_ip2addr(&request->fields.real_remote_ip);
  login.port = request->fields.real_local_port;
  login.master_user = request->fields.master_user != NULL;
  login.now = ioloop_time;

  if (!auth_hosting_decide(&login, &answer))
    return;
  if (answer.problem != NULL)
    e_error(request->event, "hosting: user=<%s>: %s", request->fields.user, answer.problem);
  if (answer.in_session) {
    log_decision(request, "left to the session", &answer);
  } else if (answer.access == AUTH_HOSTING_DENY) {
    log_decision(request, "denied", &answer);
    deny(request, result, &answer);
    return;
  }
  if (answer.exempt)
    log_decision(request, "exempt", &answer);
  if (answer.marked) {
    /* The session checks again, and cannot see where the login came from. */
    auth_hosting_need_userdb_reply(request);
    auth_fields_add(request->fields.userdb_reply, "hosting_exempt", answer.reason, 0);
  }
}

static void auth_hosting_reply(struct auth_request* request, enum auth_client_result result,
                               const void* auth_reply, size_t reply_size) {
  if (result == AUTH_CLIENT_RESULT_SUCCESS && !request->handler->destroyed) {
    T_BEGIN {
      decide(request, &result);
    }
    T_END;
  }
  next_reply(request, result, auth_reply, reply_size);
}

static void auth_hosting_initial(struct auth_request* request, const unsigned char* data,
                                 size_t data_size) {
  struct auth_request_handler* handler = request->handler;
  const struct hooked_mech* hooked;

  if (handler != NULL && handler->reply_callback != auth_hosting_reply &&
      (next_reply == NULL || handler->reply_callback == next_reply)) {
    next_reply = handler->reply_callback;
    handler->reply_callback = auth_hosting_reply;
  }
  array_foreach(&hooked_mechs, hooked) {
    if (hooked->module == request->mech) {
      hooked->initial(request, data, data_size);
      return;
    }
  }
  i_unreached();
}

static void hook_mechanisms(void) {
  struct mech_module_list* list;

  i_array_init(&hooked_mechs, 8);
  for (list = auth_hosting_mechanisms()->modules; list != NULL; list = list->next) {
    struct hooked_mech* hooked = array_append_space(&hooked_mechs);
    hooked->module = &list->module;
    hooked->initial = list->module.auth_initial;
    list->module.auth_initial = auth_hosting_initial;
  }
}

static char* configured_table;
static bool configured_deny_default;

void auth_hosting_configure(const char* table, bool deny_default) {
  i_free(configured_table);
  configured_table = i_strdup(table);
  configured_deny_default = deny_default;
}

static void auth_hosting_init(struct passdb_module* module ATTR_UNUSED) {
  if (array_is_created(&hooked_mechs))
    return; /* another passdb block */
  auth_hosting_policy_init(configured_table, configured_deny_default, log_line);
  hook_mechanisms();
}

/* Knows nobody. Where no other passdb follows, what those before have found holds. */
static enum passdb_result pass_on(const struct auth_request* request) {
  if (request->passdb->next != NULL)
    return PASSDB_RESULT_NEXT;
  return request->passdb_success ? PASSDB_RESULT_OK : PASSDB_RESULT_USER_UNKNOWN;
}

static void auth_hosting_verify_plain(struct auth_request* request,
                                      const char* password ATTR_UNUSED,
                                      verify_plain_callback_t* callback) {
  callback(pass_on(request), request);
}

static void auth_hosting_lookup_credentials(struct auth_request* request,
                                            lookup_credentials_callback_t* callback) {
  callback(pass_on(request), NULL, 0, request);
}

#pragma GCC visibility push(default)
extern const char* authdb_hosting_version;
void authdb_hosting_init(void);
void authdb_hosting_deinit(void);
#pragma GCC visibility pop

const char* authdb_hosting_version = DOVECOT_ABI_VERSION;

void authdb_hosting_init(void) {
  auth_hosting_passdb.init = auth_hosting_init;
  auth_hosting_passdb.verify_plain = auth_hosting_verify_plain;
  auth_hosting_passdb.lookup_credentials = auth_hosting_lookup_credentials;
  passdb_register_module(&auth_hosting_passdb);
}

/* Mechanisms are gone by now. */
void authdb_hosting_deinit(void) {
  passdb_unregister_module(&auth_hosting_passdb);
  auth_hosting_policy_deinit();
  if (array_is_created(&hooked_mechs))
    array_free(&hooked_mechs);
  i_free(configured_table);
}

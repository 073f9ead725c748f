#include "imap-common.h"
#include "ioloop.h"
#include "module-context.h"
#include "net.h"
#include "str.h"
#include "imap-client.h"
#include "imap-commands.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "hosting-defaults.h"
#include "imap-hosting.h"

#include <sys/stat.h>

/* Between two looks at whether the policy has changed: one stat(). */
#define CHECK_INTERVAL_MSECS (5 * 1000)
/* Between two questions about growth, while a client uploads. */
#define GROWTH_INTERVAL_SECS 2
/* From an APPEND to the question: by then what it added has been reported and looked at. */
#define APPEND_DELAY_MSECS 1500
/* On a busy host it takes longer. */
#define GROWTH_QUESTIONS 4

struct imap_hosting_client {
  union imap_module_context module_ctx;

  struct client* client;
  struct timeout* to;
  const char* table;   /* what hosting-usage writes when the policy changes */
  struct stat seen;    /* of it, at the last answer */
  time_t asked_at;     /* about growth */
  unsigned int to_ask; /* how often, after an APPEND */
  bool asked, alerted;
};

static MODULE_CONTEXT_DEFINE_INIT(imap_hosting_module, &imap_module_register);
#define IMAP_HOSTING_CONTEXT(obj) MODULE_CONTEXT_REQUIRE(obj, imap_hosting_module)
#define IMAP_HOSTING_CONTEXT_GET(obj) MODULE_CONTEXT(obj, imap_hosting_module)

static struct module* loaded_module;
static imap_client_created_func_t* next_hook_client_created;

/* A field that the userdb, or auth, has given; NULL: none. */
static const char* field_of(struct mail_user* user, const char* name) {
  const char* const* field = user->userdb_fields;
  const size_t length = strlen(name);

  for (; field != NULL && *field != NULL; field++) {
    if (strncmp(*field, name, length) == 0 && (*field)[length] == '=')
      return *field + length + 1;
  }
  return NULL;
}

static const char* field_or_setting(struct mail_user* user, const char* name) {
  const char* value = field_of(user, name);

  return value != NULL ? value : imap_hosting_setting(user, name, "");
}

static enum imap_hosting_verdict ask(struct imap_hosting_client* hclient, bool quiet, bool alert,
                                     const char** text_r, const char** rule_r,
                                     const char** alert_r) {
  struct mail_user* user = hclient->client->user;
  struct imap_hosting_question question;
  const char* socket = imap_hosting_setting(user, "hosting_socket", HOSTING_DEFAULT_SOCKET);

  i_zero(&question);
  question.socket = *socket == '/' ? socket : t_strconcat(user->set->base_dir, "/", socket, NULL);
  question.user = user->username;
  question.account = field_or_setting(user, "hosting_account");
  question.package = field_or_setting(user, "hosting_package");
  question.address = user->conn.remote_ip == NULL ? "" : net_ip2addr(user->conn.remote_ip);
  question.port = user->conn.local_port;
  question.master_user = user->auth_user != NULL && strcmp(user->auth_user, user->username) != 0;
  question.exempt = field_of(user, "hosting_exempt") != NULL;
  question.quiet = quiet;
  question.timeout_ms = imap_hosting_patience(user);
  question.alert = alert;
  return imap_hosting_ask(&question, text_r, rule_r, alert_r);
}

static bool table_changed(const struct imap_hosting_client* hclient, struct stat* st_r) {
  if (stat(hclient->table, st_r) < 0) {
    *st_r = hclient->seen;
    return FALSE;
  }
  return st_r->st_ino != hclient->seen.st_ino || st_r->st_ctime != hclient->seen.st_ctime ||
         ST_CTIME_NSEC(*st_r) != ST_CTIME_NSEC(hclient->seen);
}

static void check(struct imap_hosting_client* hclient) {
  struct client* client = hclient->client;
  const char *text, *rule, *growth;
  enum imap_hosting_verdict verdict;
  struct stat st;
  bool alert;

  if (client->disconnected || client->output_cmd_lock != NULL)
    return; /* not into the middle of an answer: at the next turn */
  /* Once a session is enough; the service sees to it that it is once a day. */
  alert = !hclient->alerted &&
          (hclient->asked ? hclient->to_ask > 0 : !client->user->session_restored) &&
          ioloop_time - hclient->asked_at >= GROWTH_INTERVAL_SECS;
  if (!table_changed(hclient, &st) && hclient->asked && !alert)
    return;
  if (alert) {
    hclient->asked_at = ioloop_time;
    hclient->to_ask -= hclient->to_ask > 0 ? 1 : 0;
  }
  verdict = ask(hclient, client->user->session_restored, alert, &text, &rule, &growth);
  if (verdict != IMAP_HOSTING_UNKNOWN) {
    hclient->seen = st;
    hclient->asked = TRUE;
  }
  switch (verdict) {
    case IMAP_HOSTING_UNKNOWN: /* at the next turn, again */
    case IMAP_HOSTING_ALLOW:
      break;
    case IMAP_HOSTING_WARN:
      if (*text != '\0')
        client_send_line(client, t_strconcat("* OK [ALERT] ", text, NULL));
      break;
    case IMAP_HOSTING_DENY:
      e_info(client->event, "hosting: session ends (%s)", rule);
      client_disconnect_with_error(client, t_strconcat("[ALERT] ", text, NULL));
      break;
  }
  if (*growth != '\0' && !client->disconnected) {
    hclient->alerted = TRUE;
    client_send_line(client, t_strconcat("* OK [ALERT] ", growth, NULL));
  }
}

static void imap_hosting_timeout(struct imap_hosting_client* hclient) {
  struct client* client = hclient->client;

  timeout_remove(&hclient->to);
  T_BEGIN {
    check(hclient);
  }
  T_END;
  if (!client->disconnected)
    hclient->to = timeout_add(hclient->to_ask > 0 ? APPEND_DELAY_MSECS : CHECK_INTERVAL_MSECS,
                              imap_hosting_timeout, hclient);
}

static void imap_hosting_command_pre(struct client_command_context* cmd ATTR_UNUSED) {}

/* A client that uploads mail is told at once, not at its next login. */
static void imap_hosting_command_post(struct client_command_context* cmd) {
  struct imap_hosting_client* hclient = IMAP_HOSTING_CONTEXT_GET(cmd->client);

  if (hclient == NULL || cmd->name == NULL || strcasecmp(cmd->name, "APPEND") != 0)
    return;
  if (hclient->to_ask < GROWTH_QUESTIONS && !hclient->alerted && hclient->to != NULL) {
    hclient->to_ask = GROWTH_QUESTIONS;
    timeout_remove(&hclient->to);
    hclient->to = timeout_add_short(APPEND_DELAY_MSECS, imap_hosting_timeout, hclient);
  }
}

static void imap_hosting_destroy(struct client* client, const char* reason) {
  struct imap_hosting_client* hclient = IMAP_HOSTING_CONTEXT(client);

  timeout_remove(&hclient->to);
  hclient->module_ctx.super.destroy(client, reason);
}

static void imap_hosting_client_created(struct client** clientp) {
  struct client* client = *clientp;
  struct imap_hosting_client* hclient;

  if (next_hook_client_created != NULL)
    next_hook_client_created(clientp);
  if (!mail_user_is_plugin_loaded(client->user, loaded_module))
    return;
  hclient = p_new(client->pool, struct imap_hosting_client, 1);
  hclient->client = client;
  hclient->module_ctx.super = client->v;
  client->v.destroy = imap_hosting_destroy;
  hclient->table = p_strdup(client->pool, imap_hosting_setting(client->user, "hosting_login_table",
                                                               HOSTING_DEFAULT_LOGIN_TABLE));
  MODULE_CONTEXT_SET(client, imap_hosting_module, hclient);
  /* After the answer to the login; and a client must not be ended in here. */
  hclient->to = timeout_add_short(0, imap_hosting_timeout, hclient);
}

#pragma GCC visibility push(default)
extern const char* imap_hosting_plugin_version;
extern const char imap_hosting_plugin_binary_dependency[];
void imap_hosting_plugin_init(struct module* module);
void imap_hosting_plugin_deinit(void);
#pragma GCC visibility pop

const char* imap_hosting_plugin_version = DOVECOT_ABI_VERSION;
const char imap_hosting_plugin_binary_dependency[] = "imap";

void imap_hosting_plugin_init(struct module* module) {
  loaded_module = module;
  next_hook_client_created = imap_client_created_hook_set(imap_hosting_client_created);
  command_hook_register(imap_hosting_command_pre, imap_hosting_command_post);
}

void imap_hosting_plugin_deinit(void) {
  command_hook_unregister(imap_hosting_command_pre, imap_hosting_command_post);
  imap_client_created_hook_set(next_hook_client_created);
}

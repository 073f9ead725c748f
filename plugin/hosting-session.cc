#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>

// Before Dovecot's headers, which define common words as macros.
#include "quota/protocol_policy.h"
#include "quota/usage_admin.h"

#include "plugin/hosting-guard.h"
#include "plugin/hosting-session.h"
#include "plugin/hosting-settings.h"

extern "C" {
#include "master-service.h"
#include "net.h"
}

namespace {

namespace wire = hosting::wire;

constexpr unsigned int kLookEvery = 5 * 1000;  // ms

struct session {
  struct mail_user* user = nullptr;
  std::string socket, table, account, package;
  unsigned int timeout_ms = 0;
  struct stat seen {};  // of the table, at the last answer
  struct timeout* to = nullptr;
  bool denied = false;
};

struct session_context {
  union mail_user_module_context module_ctx;
  session* state;
};

MODULE_CONTEXT_DEFINE_INIT(hosting_session_module, &mail_user_module_register);

session_context* context_of(struct mail_user* user) {
  return static_cast<session_context*>(MODULE_CONTEXT(user, hosting_session_module));
}

// Of this process; never destroyed, since modules are unloaded before static objects would be.
std::set<session*>& sessions() {
  static auto* const all = new std::set<session*>;
  return *all;
}

// What auth has put among the userdb fields.
bool is_marked_exempt(const struct mail_user* user) {
  constexpr char kMark[] = "hosting_exempt=";
  for (const char* const* field = user->userdb_fields; field != nullptr && *field != nullptr;
       ++field) {
    if (strncmp(*field, kMark, sizeof kMark - 1) == 0) {
      return true;
    }
  }
  return false;
}

wire::Login login_of(const session& s) {
  const struct mail_user& user = *s.user;
  wire::Login login;
  login.set_user(user.username);
  login.set_account(s.account);
  login.set_package(s.package);
  login.set_service(user.service);
  login.set_address(user.conn.remote_ip == nullptr ? "" : net_ip2addr(user.conn.remote_ip));
  login.set_port(user.conn.local_port);
  login.set_master_user(user.auth_user != nullptr && strcmp(user.auth_user, user.username) != 0);
  login.set_exempt(is_marked_exempt(&user));
  login.set_quiet(true);
  return login;
}

bool has_changed(const session& s, struct stat* now_r) {
  return stat(s.table.c_str(), now_r) == 0 &&
         (now_r->st_ino != s.seen.st_ino || now_r->st_ctim.tv_sec != s.seen.st_ctim.tv_sec ||
          now_r->st_ctim.tv_nsec != s.seen.st_ctim.tv_nsec);
}

void look(session& s) {
  struct stat now {};
  if (!has_changed(s, &now)) {
    return;
  }
  auto service = hosting::UsageAdmin::Connect(s.socket);
  if (!service.ok()) {
    return;
  }
  const auto verdict = (*service)->CheckLogin(login_of(s), std::chrono::milliseconds(s.timeout_ms));
  if (!verdict.ok()) {
    return;
  }
  s.seen = now;
  s.denied = verdict->access() == wire::Verdict::DENY;
  if (s.denied) {
    e_info(s.user->event, "hosting: session ends (%s)", verdict->rule().c_str());
  }
  const auto& all = sessions();
  if (std::all_of(all.begin(), all.end(), [](const session* each) { return each->denied; })) {
    master_service_stop(master_service);
  }
}

extern "C" {

static void hosting_session_look(void* context) noexcept {
  hosting_guard(0, [&] {
    look(*static_cast<session*>(context));
    return 0;
  });
}

static void hosting_session_deinit(struct mail_user* user) noexcept {
  session_context* context = context_of(user);
  session* s = context->state;
  context->state = nullptr;
  sessions().erase(s);
  timeout_remove(&s->to);
  delete s;
  context->module_ctx.super.deinit(user);
}

}  // extern "C"

bool is_watched(const struct mail_user* user) {
  const auto protocol =
      user->service == nullptr ? std::nullopt : hosting::ProtocolOfService(user->service);
  return protocol && *protocol != hosting::kImap && *protocol != hosting::kSmtp &&
         !user->autocreated && user->creator == nullptr;
}

int watch(struct mail_user* user) {
  hosting_settings_values settings;
  const char* error = nullptr;
  if (hosting_settings_read(user, &settings, &error) < 0) {
    return -1;  // told elsewhere
  }
  auto s = std::make_unique<session>();
  s->user = user;
  s->socket = settings.socket;
  s->table = settings.login_table;
  s->timeout_ms = settings.timeout_ms;
  s->account = settings.account;
  s->package = settings.package;
  if (stat(s->table.c_str(), &s->seen) < 0) {
    return 0;
  }
  s->to = timeout_add_to(io_loop_get_root(), kLookEvery, hosting_session_look,
                         static_cast<void*>(s.get()));
  struct mail_user_vfuncs* v = user->vlast;
  auto* context = p_new(user->pool, session_context, 1);
  context->module_ctx.super = *v;
  sessions().insert(s.get());
  context->state = s.release();
  user->vlast = &context->module_ctx.super;
  v->deinit = hosting_session_deinit;
  MODULE_CONTEXT_SET(user, hosting_session_module, context);
  return 0;
}

}  // namespace

void hosting_session_watch(struct mail_user* user) {
  if (is_watched(user)) {
    hosting_guard(0, [&] { return watch(user); });
  }
}

#include "plugin/hosting-series.h"

#include <cstring>

#include "plugin/hosting-check.h"
#include "plugin/hosting-defaults.h"
#include "plugin/hosting-guard.h"

extern "C" {
#include "settings-parser.h"
#include "plugin/hosting-module.h"

static int hosting_root_init(struct quota_root* root, const char* args,
                             const char** error_r) noexcept {
  hosting_root_setup(root);
  // Mail counts as virtual size, for all roots, as in Dovecot 2.4.
  root->quota->set->vsizes = TRUE;
  return quota_root_default_init(root, args, error_r);
}

#define HOSTING_VFUNCS                                                                      \
  {                                                                                         \
    .alloc = hosting_root_alloc, .init = hosting_root_init, .deinit = hosting_root_deinit,  \
    .get_resources = hosting_root_get_resources, .get_resource = hosting_root_get_resource, \
    .update = hosting_root_update                                                           \
  }

const struct quota_backend hosting_quota_backend = {
    .name = HOSTING_BACKEND,
    .v = HOSTING_VFUNCS,
};

const struct quota_backend hosting_mailbox_quota_backend = {
    .name = HOSTING_MAILBOX_BACKEND,
    .v = HOSTING_VFUNCS,
};

static enum quota_alloc_result hosting_test_alloc(struct quota_transaction_context* ctx,
                                                  uoff_t size, const char** error_r) noexcept {
  hosting_user* user = hosting_user_of(ctx->quota->user);
  struct call {
    enum quota_alloc_result (*function)(struct quota_transaction_context*, uoff_t, const char**);
    struct quota_transaction_context* ctx;
    uoff_t size;
    const char** error_r;
  } call{reinterpret_cast<decltype(call.function)>(user->next_test_alloc), ctx, size, error_r};
  *error_r = "Internal error";
  return hosting_guard(QUOTA_ALLOC_RESULT_TEMPFAIL, [&] {
    return hosting_check(
        *user, ctx, size,
        [](void* context) {
          auto* c = static_cast<struct call*>(context);
          return c->function(c->ctx, c->size, c->error_r);
        },
        &call, error_r);
  });
}

}  // extern "C"

namespace {

std::string setting(struct mail_user* user, const char* name, const char* fallback) {
  const char* value = mail_user_plugin_getenv(user, name);
  return value == nullptr ? fallback : value;
}

struct quota_rule* rule_of(struct quota_root* root, struct mailbox* box) {
  const char* name = mailbox_get_vname(box);
  (void)mail_namespace_find_unalias(box->storage->user->namespaces, &name);
  return quota_root_rule_find(root->set, name);
}

}  // namespace

int hosting_series_settings(struct mail_user* user, hosting_settings_values* values_r,
                            const char** error_r) {
  values_r->socket = setting(user, "hosting_socket", HOSTING_DEFAULT_SOCKET);
  values_r->spool = setting(user, "hosting_spool", HOSTING_DEFAULT_SPOOL);
  values_r->login_table = setting(user, "hosting_login_table", HOSTING_DEFAULT_LOGIN_TABLE);
  if (const char* value = mail_user_plugin_getenv(user, "hosting_timeout"); value != nullptr) {
    const char* error = nullptr;
    if (settings_get_time_msecs(value, &values_r->timeout_ms, &error) < 0) {
      *error_r = p_strdup_printf(user->pool, "hosting_timeout: %s", error);
      return -1;
    }
  }
  values_r->event_account = mail_user_plugin_getenv_bool(user, "hosting_event_account");
  return 0;
}

const char* hosting_series_field(struct mail_user* user, const char* name) {
  const char* value = mail_user_plugin_getenv(user, name);
  // What Dovecot makes of a field that is empty.
  return value != nullptr && strcmp(value, "yes") == 0 ? "" : value;
}

std::optional<uint64_t> hosting_series_size(const char* text) {
  uoff_t size = 0;
  const char* error = nullptr;
  if (settings_get_size(text, &size, &error) < 0) {
    return std::nullopt;
  }
  return size;
}

std::vector<struct quota_root*> hosting_series_roots(struct quota* quota) {
  unsigned int count = 0;
  struct quota_root* const* roots = array_get(&quota->roots, &count);
  return {roots, roots + count};
}

const char* hosting_series_root_name(struct quota_root* root) {
  return root->set->name;
}

bool hosting_series_is_visible(struct quota_root* root, struct mailbox* box) {
  return quota_root_is_namespace_visible(root, box->list->ns);
}

bool hosting_series_applies(struct quota_root* root, struct mailbox* box) {
  if (root->no_enforcing || !hosting_series_is_visible(root, box)) {
    return false;
  }
  const struct quota_rule* rule = rule_of(root, box);
  return rule == nullptr || !rule->ignore;
}

bool hosting_series_ignores_any(struct quota_root* root) {
  const struct quota_rule* rule;
  array_foreach(&root->set->rules, rule) {
    if (rule->ignore) {
      return true;
    }
  }
  return false;
}

std::vector<struct mail_namespace*> hosting_series_namespaces(struct quota_root* root) {
  std::vector<struct mail_namespace*> found;
  struct mail_namespace* const* ns;
  array_foreach(&root->quota->namespaces, ns) {
    if (quota_root_is_namespace_visible(root, *ns)) {
      found.push_back(*ns);
    }
  }
  return found;
}

void hosting_series_set_limits(struct quota_root* root, uint64_t bytes, uint64_t messages,
                               uint64_t grace) {
  root->bytes_limit = static_cast<int64_t>(bytes);
  root->count_limit = static_cast<int64_t>(messages);
  // Rules such as "Trash:storage=+10%" follow; and the grace, which is set below.
  quota_root_recalculate_relative_rules(root->set, root->bytes_limit, root->count_limit);
  root->set->last_mail_max_extra_bytes = grace;
}

void hosting_series_hook_test_alloc(struct hosting_user* user, struct quota* quota) {
  if (!user->hooked) {
    user->hooked = true;
    user->next_test_alloc = reinterpret_cast<void (*)()>(quota->set->test_alloc);
    user->default_text = quota->set->quota_exceeded_msg;
    quota->set->test_alloc = hosting_test_alloc;
  }
}

void hosting_series_set_text(struct quota_transaction_context* ctx, const char* text) {
  struct mail_user* user = ctx->quota->user;
  ctx->quota->set->quota_exceeded_msg =
      text != nullptr ? text : hosting_user_of(user)->default_text;
  if (text == nullptr || strcmp(user->service, "quota-status") != 0) {
    return;
  }
  // Dovecot 2.4 has %{error} for quota-status; here it is done by hand.
  constexpr char kError[] = "%{error}";
  unsigned int count = 0;
  const char** envs = array_get_modifiable(&user->set->plugin_envs, &count);
  for (unsigned int i = 0; i + 1 < count; i += 2) {
    const char* at = strstr(envs[i + 1], kError);
    if (at != nullptr && strncmp(envs[i], "quota_status_", 13) == 0) {
      envs[i + 1] = p_strconcat(user->pool, p_strdup_until(user->pool, envs[i + 1], at), text,
                                at + sizeof kError - 1, static_cast<const char*>(nullptr));
    }
  }
}

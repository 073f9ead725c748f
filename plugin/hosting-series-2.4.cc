#include "plugin/hosting-series.h"

#include <cstring>

#include "plugin/hosting-check.h"
#include "plugin/hosting-defaults.h"
#include "plugin/hosting-guard.h"

extern "C" {
#include "settings.h"
#include "plugin/hosting-module.h"
}

#include "plugin/hosting-settings-2.4.h"

extern "C" {

static int hosting_root_init(struct quota_root* root, const char**) noexcept {
  hosting_root_setup(root);
  return 0;
}

#define HOSTING_VFUNCS                                                                      \
  {                                                                                         \
    .alloc = hosting_root_alloc, .init = hosting_root_init, .deinit = hosting_root_deinit,  \
    .get_resources = hosting_root_get_resources, .get_resource = hosting_root_get_resource, \
    .update = hosting_root_update                                                           \
  }

const struct quota_backend hosting_quota_backend = {
    .name = HOSTING_BACKEND,
    .use_vsize = TRUE,
    .v = HOSTING_VFUNCS,
};

const struct quota_backend hosting_mailbox_quota_backend = {
    .name = HOSTING_MAILBOX_BACKEND,
    .use_vsize = TRUE,
    .v = HOSTING_VFUNCS,
};

static enum quota_alloc_result hosting_test_alloc(struct quota_transaction_context* ctx,
                                                  uoff_t size, struct mailbox* expunged_box,
                                                  uoff_t expunged_size,
                                                  const struct quota_overrun** overruns_r,
                                                  const char** error_r) noexcept {
  hosting_user* user = hosting_user_of(ctx->quota->user);
  struct call {
    enum quota_alloc_result (*function)(struct quota_transaction_context*, uoff_t, struct mailbox*,
                                        uoff_t, const struct quota_overrun**, const char**);
    struct quota_transaction_context* ctx;
    uoff_t size;
    struct mailbox* expunged_box;
    uoff_t expunged_size;
    const struct quota_overrun** overruns_r;
    const char** error_r;
  } call{reinterpret_cast<decltype(call.function)>(user->next_test_alloc),
         ctx,
         size,
         expunged_box,
         expunged_size,
         overruns_r,
         error_r};
  *error_r = "Internal error";
  return hosting_guard(QUOTA_ALLOC_RESULT_TEMPFAIL, [&] {
    return hosting_check(
        *user, ctx, size,
        [](void* context) {
          auto* c = static_cast<struct call*>(context);
          return c->function(c->ctx, c->size, c->expunged_box, c->expunged_size, c->overruns_r,
                             c->error_r);
        },
        &call, error_r);
  });
}

}  // extern "C"

namespace {

// settings_get_filter() is a macro that C++ does not take; this is the function behind it.
const struct quota_root_settings* root_settings(struct quota_root* root, struct event* event) {
  const struct quota_root_settings* set = nullptr;
  const char* error = nullptr;
  if ((settings_get_filter)(event, "quota", root->set_filter_name, &quota_root_setting_parser_info,
                            static_cast<enum settings_get_flags>(0), __FILE__, __LINE__,
                            reinterpret_cast<const void**>(&set), &error) < 0) {
    e_error(event, "%s", error);
    return nullptr;
  }
  return set;
}

bool ignored(struct quota_root* root, struct event* event) {
  const struct quota_root_settings* set = root_settings(root, event);
  const bool is = set != nullptr && set->quota_ignore;
  settings_free(set);
  return is;
}

}  // namespace

int hosting_series_settings(struct mail_user* user, hosting_settings_values* values_r,
                            const char** error_r) {
  values_r->socket = HOSTING_DEFAULT_SOCKET;
  values_r->spool = HOSTING_DEFAULT_SPOOL;
  values_r->login_table = HOSTING_DEFAULT_LOGIN_TABLE;
  const struct hosting_settings* set = nullptr;
  const char* error = nullptr;
  if ((settings_get)(user->event, &hosting_setting_parser_info,
                     static_cast<enum settings_get_flags>(0), __FILE__, __LINE__,
                     reinterpret_cast<const void**>(&set), &error) == 0) {
    values_r->socket = set->hosting_socket;
    values_r->spool = set->hosting_spool;
    values_r->login_table = set->hosting_login_table;
    values_r->account = set->hosting_account;
    values_r->package = set->hosting_package;
    values_r->timeout_ms = set->hosting_timeout;
    values_r->event_account = set->hosting_event_account;
    settings_free(set);
  } else if (strstr(error, "has no settings struct named") == nullptr) {
    *error_r = error;
    return -1;
  }
  // Otherwise modules/settings/libhosting_settings.so is not where the config process looks, so
  // nothing can be configured.
  return 0;
}

const char* hosting_series_field(struct mail_user* user, const char* name) {
  const size_t length = strlen(name);
  for (const char* const* field = user->userdb_fields; field != nullptr && *field != nullptr;
       field++) {
    if (strncmp(*field, name, length) == 0 && (*field)[length] == '=') {
      return *field + length + 1;
    }
  }
  return nullptr;
}

std::optional<uint64_t> hosting_series_size(const char* text) {
  uoff_t size = 0;
  const char* error = nullptr;
  if (str_parse_get_size(text, &size, &error) < 0) {
    return std::nullopt;
  }
  return size;
}

std::vector<struct quota_root*> hosting_series_roots(struct quota* quota) {
  unsigned int count = 0;
  struct quota_root* const* roots = array_get(&quota->all_roots, &count);
  return {roots, roots + count};
}

const char* hosting_series_root_name(struct quota_root* root) {
  return root->set->quota_name;
}

bool hosting_series_is_visible(struct quota_root* root, struct mailbox* box) {
  return quota_root_is_visible(root, box);
}

bool hosting_series_applies(struct quota_root* root, struct mailbox* box) {
  return root->set->quota_enforce && quota_root_is_visible(root, box) && !ignored(root, box->event);
}

bool hosting_series_ignores_any(struct quota_root* root) {
  for (struct mail_namespace* ns : hosting_series_namespaces(root)) {
    if (ignored(root, ns->list->event)) {
      return true;
    }
    if (!array_is_created(&ns->set->mailboxes)) {
      continue;
    }
    // Only mailboxes that the configuration names can have settings of their own.
    for (unsigned int i = 0; i < array_count(&ns->set->mailboxes); i++) {
      const char* name = *static_cast<const char* const*>(array_idx_i(&ns->set->mailboxes.arr, i));
      struct event* event = event_create(ns->list->event);
      event_add_str(event, "mailbox", t_strconcat(ns->prefix, name, nullptr));
      settings_event_add_list_filter_name(event, "mailbox", name);
      const bool is = ignored(root, event);
      event_unref(&event);
      if (is) {
        return true;
      }
    }
  }
  return false;
}

std::vector<struct mail_namespace*> hosting_series_namespaces(struct quota_root* root) {
  unsigned int count = 0;
  struct mail_namespace* const* namespaces = array_get(&root->namespaces, &count);
  return {namespaces, namespaces + count};
}

void hosting_series_set_limits(struct quota_root* root, uint64_t bytes, uint64_t messages,
                               uint64_t grace) {
  root->bytes_limit = static_cast<int64_t>(bytes);
  root->count_limit = static_cast<int64_t>(messages);
  // The root's own copy, made by settings_get_filter().
  const_cast<struct quota_root_settings*>(root->set)->quota_storage_grace = grace;
}

void hosting_series_hook_test_alloc(struct hosting_user* user, struct quota* quota) {
  if (!user->hooked) {
    user->hooked = true;
    user->next_test_alloc = reinterpret_cast<void (*)()>(quota->test_alloc);
    quota->test_alloc = hosting_test_alloc;
  }
}

void hosting_series_set_text(struct quota_transaction_context* ctx, const char* text) {
  // The transaction's own copy, but for dsync's, where nothing is ever refused.
  if (text != nullptr && ctx->set != nullptr && ctx->set != quota_get_unlimited_set()) {
    const_cast<struct quota_settings*>(ctx->set)->quota_exceeded_message = text;
  }
}

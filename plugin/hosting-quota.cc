#include "plugin/hosting-quota.h"

#include <cstring>
#include <ctime>

#include "plugin/hosting-count.h"
#include "plugin/hosting-guard.h"

extern "C" {
#include "plugin/hosting-recount.h"
}

namespace {

// Before the first look-up. Limits are asked for only where there is one, so that there seems to be
// one until the service has been asked.
constexpr int64_t kNotAskedYet = INT64_C(1) << 60;

using Mode = hosting::AccountFigures::Mode;

hosting_root* HOSTING_ROOT(struct quota_root* root) {
  return reinterpret_cast<hosting_root*>(root);
}

bool is_stale(const hosting_user& user, const hosting::AccountFigures& figures) {
  return figures.web_at != 0 && user.connection != nullptr &&
         time(nullptr) - figures.web_at > user.connection->client().web_stale_after();
}

// The package: what is enforced, and what is shown.
void look_up_package(hosting_user& user, hosting_root& root) {
  const hosting::Lookup lookup = hosting_user_figures(user);
  root.in_account = lookup.in_account && lookup.trust != hosting::Trust::kUnknown;
  root.figures = root.in_account ? lookup.figures : hosting::AccountFigures{};
  const hosting::AccountFigures& figures = root.figures;
  const bool on = figures.mode != Mode::kOff;
  const bool enforced = on && figures.mode != Mode::kReport && !figures.recounting;
  root.web_stale = is_stale(user, figures);
  root.messages = figures.messages;
  root.messages_limit = enforced ? figures.message_limit : 0;
  root.bytes_limit = enforced ? figures.hard_limit : 0;
  root.bytes = figures.total();
  if (!user.showing && root.web_stale) {
    root.bytes -= figures.web;
  }
  const uint64_t grace = user.connection->client().grace();
  if (user.showing) {
    hosting_series_set_limits(&root.root, on ? figures.limit : 0, on ? figures.message_limit : 0,
                              grace);
  } else {
    hosting_series_set_limits(&root.root, root.bytes_limit, root.messages_limit, grace);
  }
}

// This user's own mail. Returns 0 or -1 with *error_r.
int look_up_mailbox(hosting_user& user, hosting_root& root, std::string* error_r) {
  const hosting::Lookup lookup = hosting_user_figures(user);
  root.in_account = lookup.in_account && lookup.trust != hosting::Trust::kUnknown;
  root.figures = root.in_account ? lookup.figures : hosting::AccountFigures{};
  const bool enforced = root.figures.mode != Mode::kReport;
  const uint64_t limit = root.figures.mailbox_limit;
  root.bytes_limit = enforced ? limit : 0;
  hosting_series_set_limits(&root.root, user.showing ? limit : root.bytes_limit, 0,
                            user.connection->client().grace());
  root.bytes = root.messages = 0;
  if (limit == 0 || (!user.showing && !enforced)) {
    return 0;
  }
  hosting::MailAmount amount;
  if (hosting_count(user, hosting_store::as_is, &amount, error_r) < 0) {
    return -1;
  }
  root.bytes = amount.bytes;
  root.messages = amount.messages;
  return 0;
}

void set_not_asked(struct quota_root* root) {
  root->bytes_limit = kNotAskedYet;
  root->count_limit = hosting_is_package_root(root) ? kNotAskedYet : 0;
}

// Whether this one of the user's roots tells how much changed: the package's, if there is one.
bool is_counting_root(struct quota_root* root) {
  return hosting_is_package_root(root) || hosting_root_of(*root->quota) == root;
}

}  // namespace

struct quota_root* hosting_root_of(struct quota& quota) {
  struct quota_root* found = nullptr;
  for (struct quota_root* root : hosting_series_roots(&quota)) {
    if (hosting_is_package_root(root)) {
      return root;
    }
    if (hosting_is_mailbox_root(root)) {
      found = root;
    }
  }
  return found;
}

bool hosting_is_package_root(const struct quota_root* root) {
  return strcmp(root->backend.name, HOSTING_BACKEND) == 0;
}

bool hosting_is_mailbox_root(const struct quota_root* root) {
  return strcmp(root->backend.name, HOSTING_MAILBOX_BACKEND) == 0;
}

void hosting_roots_begin_check(hosting_user& user) {
  user.later = user.showing = false;
  for (struct quota_root* root : hosting_series_roots(quota_get_mail_user_quota(user.user))) {
    if (hosting_is_package_root(root) || hosting_is_mailbox_root(root)) {
      set_not_asked(root);
    }
  }
}

struct quota_root* hosting_root_alloc(void) noexcept {
  auto* root = i_new(hosting_root, 1);
  return &root->root;
}

void hosting_root_setup(struct quota_root* root) noexcept {
  // Not "auto updating", although it is: Dovecot then looks up the size of what is expunged and
  // keeps its own sums up to date, instead of adding them up anew.
  root->auto_updating = FALSE;
  set_not_asked(root);
}

void hosting_root_deinit(struct quota_root* root) noexcept {
  i_free(root);
}

const char* const* hosting_root_get_resources(struct quota_root* root) noexcept {
  static const char* const resources[] = {QUOTA_NAME_STORAGE_KILOBYTES, QUOTA_NAME_MESSAGES,
                                          nullptr};
  // What follows is for display, until a check begins (hosting-hooks.cc).
  if (hosting_user* user = hosting_user_of(root->quota->user);
      user != nullptr && strcmp(user->user->service, "quota-status") != 0) {
    user->showing = true;
  }
  return resources;
}

enum quota_get_result hosting_root_get_resource(struct quota_root* _root, const char* name,
                                                uint64_t* value_r, const char** error_r) noexcept {
  hosting_root* root = HOSTING_ROOT(_root);
  hosting_user* user = hosting_user_of(_root->quota->user);
  if (user == nullptr) {
    *error_r = "The plugin hosting is not loaded for this user";
    return QUOTA_GET_RESULT_INTERNAL_ERROR;
  }
  return hosting_guard(QUOTA_GET_RESULT_INTERNAL_ERROR, [&] {
    *error_r = "Internal error";
    std::string error;
    if (hosting_is_package_root(_root)) {
      look_up_package(*user, *root);
    } else if (look_up_mailbox(*user, *root, &error) < 0) {
      *error_r = t_strdup(error.c_str());
      return QUOTA_GET_RESULT_INTERNAL_ERROR;
    }
    if (strcmp(name, QUOTA_NAME_STORAGE_BYTES) == 0) {
      *value_r = root->bytes;
    } else if (strcmp(name, QUOTA_NAME_MESSAGES) == 0) {
      *value_r = root->messages;
    } else {
      *error_r = QUOTA_UNKNOWN_RESOURCE_ERROR_STRING;
      return QUOTA_GET_RESULT_UNKNOWN_RESOURCE;
    }
    return QUOTA_GET_RESULT_LIMITED;
  });
}

int hosting_root_update(struct quota_root* root, struct quota_transaction_context* ctx,
                        const char** error_r) noexcept {
  hosting_user* user = hosting_user_of(root->quota->user);
  if (user == nullptr) {
    return 0;
  }
  *error_r = "Internal error";
  return hosting_guard(-1, [&] {
    if (ctx->recalculate == QUOTA_RECALCULATE_FORCED) {  // doveadm quota recalc
      return hosting_recount_user(user->user, 1, error_r) < 0 ? -1 : 0;
    }
    hosting_user_changed(*user, is_counting_root(root) ? ctx->bytes_used : 0, ctx->box);
    return 0;
  });
}

#include "plugin/hosting-count.h"

#include <dlfcn.h>

#include <algorithm>
#include <ctime>

extern "C" {
#include "plugin/lbox-totals.h"
}

namespace {

uint64_t clock_ns() {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// The one namespace whose storage holds all that counts in the root; nullptr: there are several.
struct mail_namespace* only_storage(struct quota_root* root) {
  struct mail_namespace* found = nullptr;
  for (struct mail_namespace* ns : hosting_series_namespaces(root)) {
    if (ns->storage == nullptr ||
        (ns->storage->class_flags & MAIL_STORAGE_CLASS_FLAG_NOQUOTA) != 0) {
      continue;
    }
    if (found != nullptr && found->storage != ns->storage) {
      return nullptr;
    }
    found = ns;
  }
  return found;
}

// As hosting_count; 0: not an lbox store alone.
int count_lbox(hosting_user& user, struct quota_root* root, hosting_store store,
               hosting::MailAmount* amount_r, std::string* error_r) {
  static auto* const totals_of =
      reinterpret_cast<lbox_totals_func_t*>(dlsym(RTLD_DEFAULT, LBOX_TOTALS_SYMBOL));
  struct mail_namespace* ns = totals_of == nullptr ? nullptr : only_storage(root);
  if (ns == nullptr) {
    return 0;
  }
  if (!user.ignores_any.has_value()) {
    user.ignores_any = hosting_series_ignores_any(root);
  }
  struct lbox_totals totals;
  const int ret = *user.ignores_any ? 0
                                    : totals_of(ns->storage, ns->list,
                                                store == hosting_store::create ? 1 : 0, &totals);
  if (ret < 0) {
    *error_r = mail_storage_get_last_internal_error(ns->storage, nullptr);
    return -1;
  }
  if (ret == 0) {
    return 0;
  }
  amount_r->bytes = totals.virtual_bytes;
  amount_r->messages = totals.messages;
  amount_r->disk = totals.disk_bytes;
  std::copy_n(totals.store, sizeof totals.store, amount_r->instance);
  amount_r->counter = totals.transaction;
  return 1;
}

}  // namespace

int hosting_count(hosting_user& user, hosting_store store, hosting::MailAmount* amount_r,
                  std::string* error_r) {
  struct quota* quota = quota_get_mail_user_quota(user.user);
  struct quota_root* root = quota == nullptr ? nullptr : hosting_root_of(*quota);
  if (root == nullptr) {
    return 0;
  }
  if (const int ret = count_lbox(user, root, store, amount_r, error_r); ret != 0) {
    return ret;
  }
  *amount_r = {};
  amount_r->counter = clock_ns();
  enum quota_get_result result = QUOTA_GET_RESULT_INTERNAL_ERROR;
  const char* error = "";
  const int ret = quota_count(root, &amount_r->bytes, &amount_r->messages, &result, &error);
  if (ret < 0) {
    *error_r = error;
    return result == QUOTA_GET_RESULT_BACKGROUND_CALC ? 0 : -1;
  }
  return ret;
}

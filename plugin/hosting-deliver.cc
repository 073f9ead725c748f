#include "plugin/hosting-deliver.h"

#include <dlfcn.h>

extern "C" {
#include "plugin/hosting-module.h"
#include "lda-settings.h"
#include "mail-deliver.h"
}

namespace {

// Of libdovecot-lda, which is there only in processes that deliver.
using hook_set_func_t = deliver_mail_func_t*(deliver_mail_func_t*);

hook_set_func_t* hook_set = nullptr;
deliver_mail_func_t* next_deliver = nullptr;

}  // namespace

extern "C" {

static int hosting_deliver_mail(struct mail_deliver_context* ctx,
                                struct mail_storage** storage_r) noexcept {
  if (hosting_user* user = hosting_user_of(ctx->rcpt_user); user != nullptr) {
    user->delivery = ctx->set;
  }
  // 0: not delivered yet, so Dovecot goes on as if there were no hook.
  return next_deliver == nullptr ? 0 : next_deliver(ctx, storage_r);
}

}  // extern "C"

void hosting_deliver_hook() {
  if (hook_set != nullptr) {
    return;
  }
  hook_set = reinterpret_cast<hook_set_func_t*>(dlsym(RTLD_DEFAULT, "mail_deliver_hook_set"));
  if (hook_set != nullptr) {
    next_deliver = hook_set(hosting_deliver_mail);
  }
}

bool hosting_deliver_full_tempfail(hosting_user& user) {
  if (user.delivery == nullptr) {
    return false;
  }
  const_cast<struct lda_settings*>(user.delivery)->quota_full_tempfail = TRUE;
  return true;
}

void hosting_deliver_deinit(void) {
  if (hook_set != nullptr) {
    hook_set(nullptr);
    hook_set = nullptr;
    next_deliver = nullptr;
  }
}

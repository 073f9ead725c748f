// Where the plugin "hosting" meets mailboxes and mails: it is told before anything changes, and
// turns refusals for now into temporary errors. Its functions of mailboxes are called around those
// of the quota plugin (hosting-module.c).
#include <cstring>

#include "plugin/hosting-check.h"
#include "plugin/hosting-deliver.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-pop3.h"
#include "plugin/hosting-session.h"
#include "plugin/hosting-settings.h"

extern "C" {
#include "plugin/hosting-module.h"
}

namespace {

struct hosting_user_context {
  union mail_user_module_context module_ctx;
  hosting_user* state;
};

struct hosting_mailbox_context {
  union mailbox_module_context module_ctx;
};

MODULE_CONTEXT_DEFINE_INIT(hosting_user_module, &mail_user_module_register);
MODULE_CONTEXT_DEFINE_INIT(hosting_mailbox_module, &mail_storage_module_register);
MODULE_CONTEXT_DEFINE_INIT(hosting_mail_module, &mail_module_register);

hosting_user_context* context_of(struct mail_user* user) {
  return static_cast<hosting_user_context*>(MODULE_CONTEXT(user, hosting_user_module));
}

struct mailbox_vfuncs& super_of(struct mailbox* box) {
  auto* context =
      static_cast<hosting_mailbox_context*>(MODULE_CONTEXT(box, hosting_mailbox_module));
  i_assert(context != nullptr);
  return context->module_ctx.super;
}

struct event_category hosting_event_category = {
    .name = "hosting",
};

// How a call that may save a message is made: what the check has to know is set before, and its
// answer looked at after.
class save_step {
 public:
  save_step(struct mail_save_context* ctx, struct mailbox* from, bool storing)
      : box_(ctx->transaction->box), user_(hosting_user_of_box(box_)) {
    if (user_ == nullptr) {
      return;
    }
    was_moving_ = user_->moving;
    was_storing_ = user_->storing;
    hosting_roots_begin_check(*user_);
    user_->storing = storing;
    user_->moving = ctx->moving && from != nullptr && hosting_is_move_within(from, box_);
    hosting_series_hook_test_alloc(user_, quota_get_mail_user_quota(user_->user));
    hosting_user_touch(*user_);
  }
  int done(int ret) {
    if (user_ == nullptr) {
      return ret;
    }
    user_->moving = was_moving_;
    user_->storing = was_storing_;
    if (ret < 0 && user_->later) {
      mail_storage_set_error(box_->storage, MAIL_ERROR_UNAVAILABLE, user_->text.c_str());
    }
    return ret;
  }

 private:
  struct mailbox* box_;
  hosting_user* user_;
  bool was_moving_ = false, was_storing_ = false;
};

// Where a message that is saved by reading another comes from; nullptr: from elsewhere.
struct mailbox* source_of(const struct mail_save_context* ctx) {
  return ctx->copy_src_mail == nullptr ? nullptr : ctx->copy_src_mail->box;
}

extern "C" {

static int hosting_save_begin(struct mail_save_context* ctx, struct istream* input) noexcept {
  return hosting_guard(-1, [&] {
    save_step step(ctx, source_of(ctx), false);
    return step.done(super_of(ctx->transaction->box).save_begin(ctx, input));
  });
}

static int hosting_save_finish(struct mail_save_context* ctx) noexcept {
  return hosting_guard(-1, [&] {
    save_step step(ctx, source_of(ctx), true);
    return step.done(super_of(ctx->transaction->box).save_finish(ctx));
  });
}

static int hosting_copy(struct mail_save_context* ctx, struct mail* mail) noexcept {
  return hosting_guard(-1, [&] {
    save_step step(ctx, mail->box, true);
    return step.done(super_of(ctx->transaction->box).copy(ctx, mail));
  });
}

static int hosting_get_status(struct mailbox* box, enum mailbox_status_items items,
                              struct mailbox_status* status_r) noexcept {
  return hosting_guard(-1, [&] {
    hosting_user* user = hosting_user_of_box(box);
    const bool check = user != nullptr && (items & STATUS_CHECK_OVER_QUOTA) != 0;
    if (check) {
      hosting_roots_begin_check(*user);
      user->moving = user->storing = false;
    }
    const int ret = super_of(box).get_status(box, items, status_r);
    if (check && ret < 0 && user->later) {
      mail_storage_set_error(box->storage, MAIL_ERROR_UNAVAILABLE, user->text.c_str());
    }
    return ret;
  });
}

static void hosting_mail_expunge(struct mail* _mail) noexcept {
  auto* mail = reinterpret_cast<struct mail_private*>(_mail);
  hosting_guard(0, [&] {
    if (hosting_user* user = hosting_user_of_box(_mail->box); user != nullptr) {
      hosting_user_touch(*user);
    }
    return 0;
  });
  auto* context =
      static_cast<union mail_module_context*>(MODULE_CONTEXT(mail, hosting_mail_module));
  i_assert(context != nullptr);
  context->super.expunge(_mail);
}

static void hosting_user_deinit_pre(struct mail_user* user) noexcept {
  hosting_user_context* context = context_of(user);
  hosting_guard(0, [&] {
    hosting_retention_at_end(*context->state);
    hosting_user_end(*context->state);
    return 0;
  });
  context->module_ctx.super.deinit_pre(user);
}

static void hosting_user_deinit(struct mail_user* user) noexcept {
  hosting_user_context* context = context_of(user);
  context->module_ctx.super.deinit(user);
  timeout_remove(&context->state->to_report);
  event_unref(&context->state->event);
  delete context->state;
  context->state = nullptr;
}

}  // extern "C"

}  // namespace

hosting_user* hosting_user_of(struct mail_user* user) {
  hosting_user_context* context = context_of(user);
  return context == nullptr ? nullptr : context->state;
}

hosting_user* hosting_user_of_box(struct mailbox* box) {
  const struct mail_namespace* ns = box->list->ns;
  return hosting_user_of(ns->owner != nullptr ? ns->owner : ns->user);
}

void hosting_mail_user_created(struct mail_user* user) {
  hosting_session_watch(user);
  struct quota* quota = quota_get_mail_user_quota(user);
  if (quota == nullptr || hosting_root_of(*quota) == nullptr) {
    e_debug(user->event, "hosting: no quota root of its own - plugin disabled");
    return;
  }
  hosting_guard(0, [&] {
    auto state = std::make_unique<hosting_user>();
    const char* error = nullptr;
    if (hosting_settings_read(user, &state->settings, &error) < 0) {
      user->error = p_strdup_printf(user->pool, "hosting: %s", error);
      return -1;
    }
    state->user = user;
    state->event = event_create(user->event);
    event_add_category(state->event, &hosting_event_category);
    event_set_append_log_prefix(state->event, "hosting: ");

    struct mail_user_vfuncs* v = user->vlast;
    auto* context = p_new(user->pool, hosting_user_context, 1);
    context->module_ctx.super = *v;
    context->state = state.release();
    user->vlast = &context->module_ctx.super;
    v->deinit_pre = hosting_user_deinit_pre;
    v->deinit = hosting_user_deinit;
    MODULE_CONTEXT_SET(user, hosting_user_module, context);
    hosting_deliver_hook();
    return 0;
  });
}

void hosting_mail_namespaces_created(struct mail_namespace* namespaces) {
  if (hosting_user* user = hosting_user_of(namespaces->user); user != nullptr) {
    hosting_series_hook_test_alloc(user, quota_get_mail_user_quota(user->user));
  }
}

void hosting_mailbox_allocated(struct mailbox* box) {
  if (hosting_user_of_box(box) == nullptr ||
      (box->storage->class_flags & MAIL_STORAGE_CLASS_FLAG_NOQUOTA) != 0) {
    return;
  }
  struct mailbox_vfuncs* v = box->vlast;
  auto* context = p_new(box->pool, hosting_mailbox_context, 1);
  context->module_ctx.super = *v;
  box->vlast = &context->module_ctx.super;
  v->save_begin = hosting_save_begin;
  v->save_finish = hosting_save_finish;
  v->copy = hosting_copy;
  v->get_status = hosting_get_status;
  MODULE_CONTEXT_SET(box, hosting_mailbox_module, context);
}

void hosting_mail_allocated(struct mail* _mail) {
  auto* mail = reinterpret_cast<struct mail_private*>(_mail);
  if (MODULE_CONTEXT(_mail->box, hosting_mailbox_module) == nullptr) {
    return;
  }
  struct mail_vfuncs* v = mail->vlast;
  auto* context = p_new(mail->pool, union mail_module_context, 1);
  context->super = *v;
  mail->vlast = &context->super;
  v->expunge = hosting_mail_expunge;
  MODULE_CONTEXT_SET_SELF(mail, hosting_mail_module, context);
}

#include "plugin/hosting-removals.h"

#include <ctime>
#include <unordered_map>
#include <vector>

#include "plugin/hosting-folders.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-pop3.h"
#include "quota/removal_journal.h"

extern "C" {
#include "net.h"
#include "plugin/hosting-mail-admin.h"
#include "plugin/hosting-module.h"
}

namespace {

struct removals_mailbox_context {
  union mailbox_module_context module_ctx;
};

MODULE_CONTEXT_DEFINE_INIT(removals_mailbox_module, &mail_storage_module_register);
MODULE_CONTEXT_DEFINE_INIT(removals_mail_module, &mail_module_register);

using Pending =
    std::unordered_map<struct mailbox_transaction_context*, std::vector<hosting::Removal>>;

// Of this process; never destroyed, since modules are unloaded before static objects would be.
Pending& pending() {
  static auto* const all = new Pending;
  return *all;
}

const char* current_rule = nullptr;

// The message that mailbox_move() has copied and is about to expunge.
struct {
  struct mailbox* box = nullptr;
  uint32_t uid = 0;
  std::string to;
} moving;

struct mailbox_vfuncs& super_of(struct mailbox* box) {
  auto* context =
      static_cast<removals_mailbox_context*>(MODULE_CONTEXT(box, removals_mailbox_module));
  i_assert(context != nullptr);
  return context->module_ctx.super;
}

struct mail_vfuncs& super_of(struct mail* mail) {
  auto* context = static_cast<union mail_module_context*>(
      MODULE_CONTEXT(reinterpret_cast<struct mail_private*>(mail), removals_mail_module));
  i_assert(context != nullptr);
  return context->super;
}

const char* rule_of(struct mail* mail, bool moved) {
  return current_rule != nullptr                                      ? current_rule
         : moved                                                      ? "move"
         : (mail->box->flags & MAILBOX_FLAG_POP3_SESSION) != 0        ? "DELE"
         : reinterpret_cast<struct mail_private*>(mail)->autoexpunged ? "autoexpunge"
         : mail->box->deleting                                        ? "mailbox deleted"
                                                                      : "expunge";
}

void note(struct mail* mail) {
  hosting::Removal removal;
  const bool moved = moving.box == mail->box && moving.uid == mail->uid;
  if (moved) {
    removal.to = std::move(moving.to);
  }
  moving.box = nullptr;
  struct mail_user* user = mail->box->storage->user;
  if (user->autocreated && user->creator != nullptr) {
    user = user->creator;
  }
  removal.at = time(nullptr);
  removal.session = user->session_id == nullptr ? "" : user->session_id;
  removal.protocol = user->service;
  if (user->conn.remote_ip != nullptr) {
    removal.address = net_ip2addr(user->conn.remote_ip);
  }
  removal.rule = rule_of(mail, moved);
  removal.mailbox = mailbox_get_vname(mail->box);
  removal.uid = mail->uid;
  uoff_t size = 0;
  const char* id = nullptr;
  if (mail_get_virtual_size(mail, &size) == 0) {
    removal.size = size;
  }
  if (mail_get_first_header(mail, "Message-ID", &id) > 0) {
    removal.message_id = id;
  }
  pending()[mail->transaction].push_back(std::move(removal));
}

void write_down(struct mailbox* box, const std::vector<hosting::Removal>& removals) {
  struct mail_user* owner = hosting_user_of_box(box)->user;
  const std::string path = hosting_user_file(owner, kRemovalJournalName);
  if (path.empty()) {
    return;
  }
  const hosting::Status status = hosting::AppendRemovals(path, removals, time(nullptr));
  if (!status.ok()) {
    e_error(owner->event, "hosting: what was removed from %s is not in the journal: %s",
            mailbox_get_vname(box), status.message().c_str());
  }
}

extern "C" {

static void hosting_removals_expunge(struct mail* mail) noexcept {
  const bool kept = hosting_guard(false, [&] {
    if (current_rule == nullptr && hosting_pop3_keeps(mail)) {
      return true;
    }
    note(mail);
    return false;
  });
  if (!kept) {
    super_of(mail).expunge(mail);
  }
}

static int hosting_removals_get_stream(struct mail* mail, bool get_body,
                                       struct message_size* hdr_size,
                                       struct message_size* body_size,
                                       struct istream** stream_r) noexcept {
  const int ret = super_of(mail).get_stream(mail, get_body, hdr_size, body_size, stream_r);
  if (ret == 0 && get_body) {
    hosting_guard(0, [&] {
      hosting_pop3_opened(mail, *stream_r);
      return 0;
    });
  }
  return ret;
}

static void hosting_removals_close(struct mail* mail) noexcept {
  hosting_guard(0, [&] {
    hosting_pop3_closing(mail);
    return 0;
  });
  super_of(mail).close(mail);
}

static int hosting_removals_copy(struct mail_save_context* ctx, struct mail* mail) noexcept {
  struct mailbox* to = ctx->transaction->box;
  const bool move = ctx->moving;
  const int ret = super_of(to).copy(ctx, mail);
  if (ret == 0 && move) {
    hosting_guard(0, [&] {
      moving.to = mailbox_get_vname(to);
      moving.box = mail->box;
      moving.uid = mail->uid;
      return 0;
    });
  }
  return ret;
}

static int hosting_removals_commit(struct mailbox_transaction_context* t,
                                   struct mail_transaction_commit_changes* changes_r) noexcept {
  struct mailbox* box = t->box;
  auto removals = pending().extract(t);
  const int ret = super_of(box).transaction_commit(t, changes_r);
  if (ret >= 0 && !removals.empty()) {
    hosting_guard(0, [&] {
      write_down(box, removals.mapped());
      return 0;
    });
  }
  return ret;
}

static void hosting_removals_rollback(struct mailbox_transaction_context* t) noexcept {
  pending().erase(t);
  super_of(t->box).transaction_rollback(t);
}

}  // extern "C"

}  // namespace

hosting_removal_rule::hosting_removal_rule(const char* rule) : before_(current_rule) {
  current_rule = rule;
}

hosting_removal_rule::~hosting_removal_rule() {
  current_rule = before_;
}

std::string hosting_user_file(struct mail_user* user, const char* name) {
  struct mail_namespace* ns = mail_namespace_find_inbox(user->namespaces);
  const char* folder = nullptr;
  if (ns == nullptr ||
      !mailbox_list_get_root_path(ns->list, MAILBOX_LIST_PATH_TYPE_CONTROL, &folder)) {
    return "";
  }
  // No log of a failure: whoever opens the file tells.
  const char* error = nullptr;
  (void)mailbox_list_try_mkdir_root(ns->list, folder, MAILBOX_LIST_PATH_TYPE_CONTROL, &error);
  return std::string(folder) + "/" + name;
}

void hosting_removals_mailbox_allocated(struct mailbox* box) {
  if (hosting_user_of_box(box) == nullptr ||
      (box->storage->class_flags & MAIL_STORAGE_CLASS_FLAG_NOQUOTA) != 0) {
    return;
  }
  hosting_guard(0, [&] {
    hosting_redirect_delivery(box);
    return 0;
  });
  struct mailbox_vfuncs* v = box->vlast;
  auto* context = p_new(box->pool, removals_mailbox_context, 1);
  context->module_ctx.super = *v;
  box->vlast = &context->module_ctx.super;
  v->copy = hosting_removals_copy;
  v->transaction_commit = hosting_removals_commit;
  v->transaction_rollback = hosting_removals_rollback;
  MODULE_CONTEXT_SET(box, removals_mailbox_module, context);
}

void hosting_removals_mail_allocated(struct mail* _mail) {
  auto* mail = reinterpret_cast<struct mail_private*>(_mail);
  if (MODULE_CONTEXT(_mail->box, removals_mailbox_module) == nullptr) {
    return;
  }
  struct mail_vfuncs* v = mail->vlast;
  auto* context = p_new(mail->pool, union mail_module_context, 1);
  context->super = *v;
  mail->vlast = &context->super;
  v->expunge = hosting_removals_expunge;
  if ((_mail->box->flags & MAILBOX_FLAG_POP3_SESSION) != 0) {
    v->get_stream = hosting_removals_get_stream;
    v->close = hosting_removals_close;
  }
  MODULE_CONTEXT_SET_SELF(mail, removals_mail_module, context);
}

int hosting_trace(struct mail_user* mail_user, const char* message_id, int64_t since,
                  hosting_trace_row_t* row, void* context, const char** error_r) {
  static std::string error;
  *error_r = "Internal error";
  return hosting_guard(-1, [&] {
    if (hosting_user_of(mail_user) == nullptr) {
      return 0;
    }
    const std::string wanted = message_id;
    const hosting::Status status = hosting::ForEachRemoval(
        hosting_user_file(mail_user, kRemovalJournalName), since, [&](const hosting::Removal& r) {
          if (!wanted.empty() && r.message_id != wanted && r.message_id != "<" + wanted + ">") {
            return;
          }
          const struct hosting_trace_row values = {
              .at = r.at,
              .session = r.session.c_str(),
              .protocol = r.protocol.c_str(),
              .address = r.address.c_str(),
              .rule = r.rule.c_str(),
              .mailbox = r.mailbox.c_str(),
              .to = r.to.c_str(),
              .message_id = r.message_id.c_str(),
              .uid = r.uid,
              .bytes = r.size,
          };
          row(context, &values);
        });
    if (!status.ok()) {
      error = status.message();
      *error_r = error.c_str();
      return -1;
    }
    return 1;
  });
}

#include "plugin/hosting-count.h"
#include "plugin/hosting-guard.h"

extern "C" {
#include "mailbox-list-iter.h"
#include "plugin/hosting-recount.h"
}

namespace {

// Forgets the mailbox's size, so that it is summed up again.
int forget_size(struct mailbox* box) {
  struct mailbox_index_vsize none;
  i_zero(&none);
  struct mail_index_transaction* trans =
      mail_index_transaction_begin(box->view, MAIL_INDEX_TRANSACTION_FLAG_EXTERNAL);
  mail_index_update_header_ext(trans, box->vsize_hdr_ext_id, 0, &none, sizeof none);
  return mail_index_transaction_commit(&trans);
}

// Returns 0, also when the mailbox is not for this user to see; -1 with *error_r.
int look_through(struct mailbox* box, bool force, std::string* error_r) {
  struct mailbox_metadata metadata;
  if (mailbox_open(box) == 0 &&
      mailbox_sync(box, static_cast<enum mailbox_sync_flags>(MAILBOX_SYNC_FLAG_FULL_READ)) == 0 &&
      (!force || forget_size(box) == 0) &&
      mailbox_get_metadata(box, MAILBOX_METADATA_VIRTUAL_SIZE, &metadata) == 0 &&
      // Writes the change to the mailbox list's index.
      mailbox_sync(box, MAILBOX_SYNC_FLAG_FAST) == 0) {
    return 0;
  }
  enum mail_error error = MAIL_ERROR_NONE;
  const char* text = mailbox_get_last_internal_error(box, &error);
  if (error != MAIL_ERROR_TEMP) {
    return 0;
  }
  *error_r = std::string("mailbox ") + mailbox_get_vname(box) + ": " + text;
  return -1;
}

int look_through(struct mail_namespace* ns, bool force, std::string* error_r) {
  int ret = 0;
  struct mailbox_list_iterate_context* iter = mailbox_list_iter_init(
      ns->list, "*",
      static_cast<enum mailbox_list_iter_flags>(MAILBOX_LIST_ITER_SKIP_ALIASES |
                                                MAILBOX_LIST_ITER_RETURN_NO_FLAGS |
                                                MAILBOX_LIST_ITER_NO_AUTO_BOXES));
  while (const struct mailbox_info* info = mailbox_list_iter_next(iter)) {
    if ((info->flags & (MAILBOX_NONEXISTENT | MAILBOX_NOSELECT)) != 0) {
      continue;
    }
    struct mailbox* box =
        mailbox_alloc(info->ns->list, info->vname, static_cast<enum mailbox_flags>(0));
    if (look_through(box, force, error_r) < 0) {
      ret = -1;
    }
    mailbox_free(&box);
  }
  if (mailbox_list_iter_deinit(&iter) < 0) {
    *error_r = mailbox_list_get_last_internal_error(ns->list, nullptr);
    ret = -1;
  }
  return ret;
}

int recount(hosting_user& user, bool force, std::string* error_r) {
  struct quota* quota = quota_get_mail_user_quota(user.user);
  struct quota_root* root = quota == nullptr ? nullptr : hosting_root_of(*quota);
  if (root == nullptr) {
    return 0;
  }
  for (struct mail_namespace* ns : hosting_series_namespaces(root)) {
    if (look_through(ns, force, error_r) < 0) {
      return -1;
    }
  }
  hosting::MailAmount amount;
  if (hosting_count(user, hosting_store::create, &amount, error_r) <= 0) {
    if (error_r->empty()) {
      *error_r = "mail cannot be counted at present";
    }
    return -1;
  }
  amount.recounted = true;
  return hosting_user_report_now(user, amount, error_r);
}

}  // namespace

int hosting_recount_user(struct mail_user* mail_user, int force, const char** error_r) {
  static std::string error;
  error.clear();
  *error_r = "Internal error";
  hosting_user* user = hosting_user_of(mail_user);
  if (user == nullptr) {
    return 0;
  }
  const int ret = hosting_guard(-1, [&] { return recount(*user, force != 0, &error); });
  if (!error.empty()) {
    *error_r = error.c_str();
  }
  return ret;
}

// Before netdb.h, which makes TRY_AGAIN a macro.
#include "quota/growth_job.h"

#include "plugin/hosting-count.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-notice.h"
#include "plugin/hosting-warn.h"

extern "C" {
#include "mail-search-build.h"
#include "mailbox-list-iter.h"
}

namespace {

// Each of the user's own mailboxes; false from visit: no more.
template <typename Visit>
void for_each_mailbox(hosting_user& user, const Visit& visit) {
  struct quota* quota = quota_get_mail_user_quota(user.user);
  struct quota_root* root = quota == nullptr ? nullptr : hosting_root_of(*quota);
  if (root == nullptr) {
    return;
  }
  bool more = true;
  for (struct mail_namespace* ns : hosting_series_namespaces(root)) {
    struct mailbox_list_iterate_context* iter = mailbox_list_iter_init(
        ns->list, "*",
        static_cast<enum mailbox_list_iter_flags>(MAILBOX_LIST_ITER_SKIP_ALIASES |
                                                  MAILBOX_LIST_ITER_RETURN_NO_FLAGS |
                                                  MAILBOX_LIST_ITER_NO_AUTO_BOXES));
    const struct mailbox_info* info = nullptr;
    while (more && (info = mailbox_list_iter_next(iter)) != nullptr) {
      if ((info->flags & (MAILBOX_NONEXISTENT | MAILBOX_NOSELECT)) != 0) {
        continue;
      }
      struct mailbox* box = mailbox_alloc(info->ns->list, info->vname, MAILBOX_FLAG_READONLY);
      more = visit(box);
      mailbox_free(&box);
    }
    (void)mailbox_list_iter_deinit(&iter);
  }
}

std::vector<hosting::GrowthItem> folders_of(hosting_user& user) {
  std::vector<hosting::GrowthItem> folders;
  for_each_mailbox(user, [&](struct mailbox* box) {
    struct mailbox_metadata metadata;
    // What cannot be opened is left out: the mail is of more use than a whole list.
    if (mailbox_get_metadata(box, MAILBOX_METADATA_VIRTUAL_SIZE, &metadata) == 0 &&
        metadata.virtual_size != 0) {
      folders.push_back({mailbox_get_vname(box), metadata.virtual_size});
    }
    return true;
  });
  return folders;
}

bool has_message(struct mailbox* box, const std::string& id) {
  if (mailbox_open(box) < 0 ||
      mailbox_sync(box, static_cast<enum mailbox_sync_flags>(MAILBOX_SYNC_FLAG_FULL_READ)) < 0) {
    return false;
  }
  struct mail_search_args* args = mail_search_build_init();
  struct mail_search_arg* arg = mail_search_build_add(args, SEARCH_HEADER);
  arg->hdr_field_name = p_strdup(args->pool, "Message-ID");
  arg->value.str = p_strdup(args->pool, id.c_str());
  struct mailbox_transaction_context* t =
      mailbox_transaction_begin(box, static_cast<enum mailbox_transaction_flags>(0), __func__);
  struct mail_search_context* search =
      mailbox_search_init(t, args, nullptr, static_cast<enum mail_fetch_field>(0), nullptr);
  mail_search_args_unref(&args);
  struct mail* mail = nullptr;
  const bool found = mailbox_search_next(search, &mail);
  (void)mailbox_search_deinit(&search);
  (void)mailbox_transaction_commit(&t);
  return found;
}

// In whichever mailbox the user has put it.
bool was_delivered(hosting_user& user, const std::string& id) {
  bool found = false;
  for_each_mailbox(user, [&](struct mailbox* box) {
    found = has_message(box, id);
    return !found;
  });
  return found;
}

int warn(hosting_user& user, const hosting::wire::WarnJob& job, std::string* text_r) {
  hosting::GrowthMail mail =
      hosting::MailOf(job, my_hostname,
                      job.task().contact() ? std::vector<hosting::GrowthItem>() : folders_of(user));
  mail.stored = true;
  if (job.task().begun() && was_delivered(user, mail.id)) {
    *text_r = "was delivered before";
    return 1;
  }
  if (hosting_notice_save(user, hosting::WriteGrowthMail(mail)) < 0) {
    *text_r = "the mailbox did not take it";
    return -1;
  }
  *text_r = "delivered";
  return 1;
}

}  // namespace

int hosting_warn_user(struct mail_user* mail_user, const void* job, size_t size,
                      const char** text_r) {
  static std::string text;
  text.clear();
  *text_r = "Internal error";
  hosting_user* user = hosting_user_of(mail_user);
  if (user == nullptr) {
    *text_r = "no quota root of the plugin hosting";
    return 0;
  }
  const int ret = hosting_guard(-1, [&] {
    hosting::wire::WarnJob message;
    return message.ParseFromArray(job, static_cast<int>(size)) ? warn(*user, message, &text) : -1;
  });
  if (!text.empty()) {
    *text_r = text.c_str();
  }
  return ret;
}

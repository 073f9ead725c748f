#include "plugin/hosting-folders.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "plugin/hosting-guard.h"
#include "plugin/hosting-pop3.h"
#include "plugin/hosting-removals.h"
#include "quota/notice.h"

extern "C" {
#include "mail-search-build.h"
#include "mailbox-list-iter.h"
#include "plugin/hosting-mail-admin.h"
}

namespace {

constexpr size_t kBatch = 200;  // messages moved in one transaction

struct folder {
  std::string name;
  std::string kind;  // "", "trash", "junk", "expiry"
};

bool is_named(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const char* each) { return strcasecmp(name.c_str(), each) == 0; });
}

std::string kind_of(const std::string& name, const char* special_use,
                    const std::string& expiry_folder) {
  const std::string use = special_use == nullptr ? "" : special_use;
  return !expiry_folder.empty() && name == expiry_folder ? "expiry"
         : use.find("\\Trash") != std::string::npos ||
                 is_named(name, {"Trash", "Deleted Items", "Deleted Messages"})
             ? "trash"
         : use.find("\\Junk") != std::string::npos ||
                 is_named(name, {"Junk", "Spam", "Junk E-mail"})
             ? "junk"
             : "";
}

// The mailboxes of the user's own namespaces but INBOX. Returns 0 or -1.
int list_folders(hosting_user& user, const std::string& expiry_folder, std::vector<folder>* list_r,
                 std::string* error_r) {
  for (struct mail_namespace* ns = user.user->namespaces; ns != nullptr; ns = ns->next) {
    if (ns->type != MAIL_NAMESPACE_TYPE_PRIVATE || ns->alias_for != nullptr) {
      continue;
    }
    struct mailbox_list_iterate_context* iter = mailbox_list_iter_init(
        ns->list, "*",
        static_cast<enum mailbox_list_iter_flags>(MAILBOX_LIST_ITER_SKIP_ALIASES |
                                                  MAILBOX_LIST_ITER_RETURN_SPECIALUSE |
                                                  MAILBOX_LIST_ITER_NO_AUTO_BOXES));
    while (const struct mailbox_info* info = mailbox_list_iter_next(iter)) {
      if ((info->flags & (MAILBOX_NONEXISTENT | MAILBOX_NOSELECT)) == 0 &&
          strcmp(info->vname, "INBOX") != 0) {
        list_r->push_back({info->vname, kind_of(info->vname, info->special_use, expiry_folder)});
      }
    }
    if (mailbox_list_iter_deinit(&iter) < 0) {
      *error_r = mailbox_list_get_last_internal_error(ns->list, nullptr);
      return -1;
    }
  }
  return 0;
}

struct mailbox* alloc(hosting_user& user, const char* vname, enum mailbox_flags flags) {
  struct mail_namespace* ns = mail_namespace_find(user.user->namespaces, vname);
  return mailbox_alloc(ns->list, vname, flags);
}

std::string failure(struct mailbox* box) {
  return std::string("mailbox ") + mailbox_get_vname(box) + ": " +
         mailbox_get_last_internal_error(box, nullptr);
}

// Calls visit for each message of an open mailbox. Returns 0 or -1.
int for_each(struct mailbox* box, const std::function<void(struct mail*)>& visit) {
  struct mailbox_transaction_context* t =
      mailbox_transaction_begin(box, static_cast<enum mailbox_transaction_flags>(0), __func__);
  struct mail_search_args* args = mail_search_build_init();
  mail_search_build_add_all(args);
  struct mail_search_context* search =
      mailbox_search_init(t, args, nullptr, MAIL_FETCH_GUID, nullptr);
  mail_search_args_unref(&args);
  struct mail* mail = nullptr;
  while (mailbox_search_next(search, &mail)) {
    visit(mail);
  }
  const int ret = mailbox_search_deinit(&search);
  return mailbox_transaction_commit(&t) < 0 ? -1 : ret;
}

std::string guid_of(struct mail* mail) {
  const char* guid = nullptr;
  return mail_get_special(mail, MAIL_FETCH_GUID, &guid) < 0 ? "" : guid;
}

// Of a Maildir's message whose file has other names, too: its identity; "": of no other. Maildir
// copies by hard link; one that is killed then may have lost the copy's GUID, which is in its list
// of UIDs, but not that.
std::string file_of(struct mail* mail) {
  struct istream* input = nullptr;
  struct stat s {};
  if (strcmp(mail->box->storage->name, "maildir") != 0 ||
      mail_get_stream_because(mail, nullptr, nullptr, "merge-folders", &input) < 0 ||
      i_stream_get_fd(input) < 0 || fstat(i_stream_get_fd(input), &s) < 0 || s.st_nlink < 2) {
    return "";
  }
  return "file " + std::to_string(s.st_dev) + " " + std::to_string(s.st_ino);
}

// Both mailboxes open.
class mover {
 public:
  mover(struct mailbox* from, struct mailbox* to, bool once) : from_(from), to_(to), once_(once) {}

  int prepare() {
    return !once_ ? 0 : for_each(to_, [&](struct mail* mail) { (void)is_new(mail); });
  }

  // Returns how many went, or -1 with *error_r.
  int batch(const uint32_t* uids, size_t count, std::string* error_r) {
    struct mailbox_transaction_context* source =
        mailbox_transaction_begin(from_, static_cast<enum mailbox_transaction_flags>(0), __func__);
    struct mailbox_transaction_context* target =
        mailbox_transaction_begin(to_, MAILBOX_TRANSACTION_FLAG_EXTERNAL, __func__);
    struct mail* mail = mail_alloc(source, static_cast<enum mail_fetch_field>(0), nullptr);
    int moved = 0;
    bool failed = false;
    for (size_t i = 0; i < count && !failed; ++i) {
      if (mail_set_uid(mail, uids[i]) && !mail->expunged) {
        failed = move(target, mail) < 0 && !mail->expunged;
        moved += failed ? 0 : 1;
      }
    }
    if (failed) {
      *error_r = failure(to_);
    }
    mail_free(&mail);
    if (failed) {
      mailbox_transaction_rollback(&target);
      mailbox_transaction_rollback(&source);
      return -1;
    }
    // They are there before they go here.
    if (mailbox_transaction_commit(&target) < 0) {
      *error_r = failure(to_);
      mailbox_transaction_rollback(&source);
      return -1;
    }
    if (mailbox_transaction_commit(&source) < 0 ||
        mailbox_sync(from_, static_cast<enum mailbox_sync_flags>(0)) < 0) {
      *error_r = failure(from_);
      return -1;
    }
    return moved;
  }

 private:
  int move(struct mailbox_transaction_context* target, struct mail* mail) {
    const std::string guid = guid_of(mail);
    if (once_ && !is_new(mail)) {
      mail_expunge(mail);
      return 0;
    }
    struct mail_save_context* ctx = mailbox_save_alloc(target);
    mailbox_save_copy_flags(ctx, mail);
    if (!guid.empty()) {
      mailbox_save_set_guid(ctx, guid.c_str());
    }
    return mailbox_move(&ctx, mail);
  }

  // Whether neither the message nor its file was seen before.
  bool is_new(struct mail* mail) {
    bool is = true;
    for (const std::string& each : {guid_of(mail), file_of(mail)}) {
      is = (each.empty() || known_.insert(each).second) && is;
    }
    return is;
  }

  struct mailbox* from_;
  struct mailbox* to_;
  const bool once_;
  std::set<std::string> known_;  // GUIDs, files
};

int open_target(struct mailbox* box, std::string* error_r) {
  enum mail_error error = MAIL_ERROR_NONE;
  if (mailbox_open(box) < 0) {
    (void)mailbox_get_last_error(box, &error);
    if (error != MAIL_ERROR_NOTFOUND ||
        (mailbox_create(box, nullptr, false) < 0 &&
         (mailbox_get_last_error(box, &error), error != MAIL_ERROR_EXISTS)) ||
        mailbox_open(box) < 0) {
      *error_r = failure(box);
      return -1;
    }
  }
  if (mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) < 0) {
    *error_r = failure(box);
    return -1;
  }
  return 0;
}

int count(struct mailbox* box, struct hosting_folder_row* row, std::string* error_r) {
  struct mailbox_status status;
  struct mailbox_metadata metadata;
  if (mailbox_open(box) < 0 || mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) < 0 ||
      mailbox_get_metadata(box, MAILBOX_METADATA_VIRTUAL_SIZE, &metadata) < 0) {
    *error_r = failure(box);
    return -1;
  }
  mailbox_get_open_status(box, STATUS_MESSAGES, &status);
  row->messages = status.messages;
  row->bytes = metadata.virtual_size;
  return 0;
}

int merge(hosting_user& user, struct mailbox* box, uint64_t* moved_r, std::string* error_r) {
  std::vector<uint32_t> uids;
  if (for_each(box, [&](struct mail* mail) { uids.push_back(mail->uid); }) < 0) {
    *error_r = failure(box);
    return -1;
  }
  const hosting_removal_rule by("merge-folders");
  return hosting_move_messages(user, box, "INBOX", uids, true, moved_r, error_r);
}

// What both commands do. Returns 1 or -1.
int each_folder(hosting_user& user, bool merging, bool all, hosting_folder_row_t* row,
                void* context, std::string* error_r) {
  const hosting::Pop3Rules rules = hosting_pop3_rules(user);
  const std::string expiry = rules.retention ? rules.retention->expiry_folder : "";
  std::vector<folder> folders;
  int ret = list_folders(user, expiry, &folders, error_r);
  for (const folder& f : folders) {
    struct mailbox* box = alloc(user, f.name.c_str(), static_cast<enum mailbox_flags>(0));
    struct hosting_folder_row values = {f.name.c_str(), f.kind.c_str(), 0, 0, 0};
    ret = ret < 0 ? -1 : count(box, &values, error_r);
    if (ret == 0 && merging && (f.kind.empty() || (all && f.kind != "expiry"))) {
      ret = merge(user, box, &values.moved, error_r);
    }
    mailbox_free(&box);
    if (values.messages != 0) {
      row(context, &values);
    }
    if (ret < 0) {
      break;
    }
  }
  hosting_user_report(user);
  return ret < 0 ? -1 : 1;
}

int admin_call(struct mail_user* mail_user, bool merging, bool all, hosting_folder_row_t* row,
               void* context, const char** error_r) {
  static std::string error;
  *error_r = "Internal error";
  return hosting_guard(-1, [&] {
    hosting_user* user = hosting_user_of(mail_user);
    if (user == nullptr) {
      return 0;
    }
    const int ret = each_folder(*user, merging, all, row, context, &error);
    if (ret < 0) {
      *error_r = error.c_str();
    }
    return ret;
  });
}

}  // namespace

int hosting_move_messages(hosting_user& user, struct mailbox* from, const char* to,
                          const std::vector<uint32_t>& uids, bool once, uint64_t* moved_r,
                          std::string* error_r) {
  struct mailbox* target = alloc(user, to, static_cast<enum mailbox_flags>(0));
  *moved_r = 0;
  int ret = open_target(target, error_r);
  if (ret == 0) {
    mover m(from, target, once);
    if (ret = m.prepare(); ret < 0) {
      *error_r = failure(target);
    }
    for (size_t at = 0; ret >= 0 && at < uids.size(); at += kBatch) {
      ret = m.batch(&uids[at], std::min(kBatch, uids.size() - at), error_r);
      *moved_r += ret > 0 ? static_cast<uint64_t>(ret) : 0;
    }
  }
  mailbox_free(&target);
  return ret < 0 ? -1 : 0;
}

void hosting_redirect_delivery(struct mailbox* box) {
  hosting_user* user = hosting_user_of_box(box);
  if (user == nullptr || user->user->autocreated || box->inbox_user ||
      (box->flags & MAILBOX_FLAG_POST_SESSION) == 0) {
    return;
  }
  const std::string service = user->user->service;
  if (service != "lmtp" && service != "lda") {
    return;
  }
  const struct mail_namespace* inbox = mail_namespace_find_inbox(user->user->namespaces);
  if (inbox == nullptr || box->list != inbox->list || !hosting_pop3_rules(*user).into_inbox) {
    return;
  }
  e_debug(box->event, "hosting: this delivery goes to INBOX");
  box->name = box->vname = p_strdup(box->pool, "INBOX");
  box->inbox_user = box->inbox_any = true;
}

std::string hosting_folders_text(hosting_user& user, const hosting::Pop3Rules& rules) {
  const std::string expiry_folder = rules.retention ? rules.retention->expiry_folder : "";
  std::vector<folder> folders;
  std::string error, text;
  if (list_folders(user, expiry_folder, &folders, &error) < 0) {
    return "";
  }
  for (const folder& f : folders) {
    struct mailbox* box = alloc(user, f.name.c_str(), static_cast<enum mailbox_flags>(0));
    struct hosting_folder_row row = {f.name.c_str(), f.kind.c_str(), 0, 0, 0};
    if (f.kind.empty() && count(box, &row, &error) == 0 && row.messages != 0) {
      text += (text.empty() ? "" : ", ") + f.name + " (" + std::to_string(row.messages) + ")";
    }
    mailbox_free(&box);
  }
  const std::string_view sentence =
      rules.folders.empty() ? hosting::kFoldersText : std::string_view(rules.folders);
  return text.empty() ? "" : hosting::FillTemplate(sentence, {{"list", text}});
}

int hosting_folders_list(struct mail_user* user, hosting_folder_row_t* row, void* context,
                         const char** error_r) {
  return admin_call(user, false, false, row, context, error_r);
}

int hosting_folders_merge(struct mail_user* user, int all, hosting_folder_row_t* row, void* context,
                          const char** error_r) {
  return admin_call(user, true, all != 0, row, context, error_r);
}

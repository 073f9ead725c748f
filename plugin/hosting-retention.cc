// Retention: what has stayed long enough in the mailbox that POP3 sees goes.
#include <algorithm>
#include <ctime>
#include <vector>

#include <sys/stat.h>

#include "plugin/hosting-folders.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-notice.h"
#include "plugin/hosting-pop3.h"
#include "plugin/hosting-removals.h"
#include "quota/notice.h"
#include "quota/pop3_state.h"
#include "quota/retention.h"

extern "C" {
#include "mail-search-build.h"
#include "plugin/hosting-mail-admin.h"
}

namespace {

constexpr int64_t kDay = 86400;
constexpr int64_t kEvery = 3600;           // seconds between two runs at the end of sessions
constexpr unsigned int kMostAtOnce = 500;  // messages that such a run removes

struct candidate {
  uint32_t uid = 0;
  hosting::MessageAge age;
  uint64_t bytes = 0;
  hosting::Fate fate = hosting::Fate::kStays;
};

// One run for one user.
struct sweep {
  hosting_user& user;
  hosting::Pop3Rules rules;
  struct hosting_retention_options options;
  hosting_retention_row_t* row;
  void* context;
  unsigned int left;  // messages that may still go
  std::string error;

  [[nodiscard]] bool moves() const { return !rules.retention->expiry_folder.empty(); }
  void tell(const char* action, struct mailbox* box, const candidate& c, const char* rule) const {
    const struct hosting_retention_row values = {
        .action = action,
        .mailbox = box == nullptr ? "" : mailbox_get_vname(box),
        .uid = c.uid,
        .delivered = c.age.delivered,
        .retrieved = c.age.retrieved_at.value_or(0),
        .bytes = c.bytes,
        .rule = rule,
    };
    if (row != nullptr) {
      row(context, &values);
    }
  }
  int fail(struct mailbox* box) {
    error = std::string("mailbox ") + mailbox_get_vname(box) + ": " +
            mailbox_get_last_internal_error(box, nullptr);
    return -1;
  }
};

// Opens a mailbox that is there. Returns 1, 0 if there is none, -1 on error.
int open_box(sweep& s, struct mailbox* box) {
  enum mail_error error = MAIL_ERROR_NONE;
  if (mailbox_open(box) < 0 ||
      mailbox_sync(box, static_cast<enum mailbox_sync_flags>(MAILBOX_SYNC_FLAG_FULL_READ)) < 0) {
    (void)mailbox_get_last_error(box, &error);
    return error == MAIL_ERROR_NOTFOUND ? 0 : s.fail(box);
  }
  return 1;
}

// What is known of a message. Returns false when that is too little to remove it.
bool look_at(struct mail* mail, candidate* c) {
  time_t saved = 0;
  uoff_t size = 0;
  int64_t retrieved = 0;
  if (mail_get_save_date(mail, &saved) < 0 || saved <= 0) {
    return false;
  }
  c->uid = mail->uid;
  c->age.delivered = saved;
  c->age.deferred = hosting_mail_has_keyword(mail, kDeferredKeyword);
  const int ret = hosting_pop3_retrieved_at(mail, &retrieved);
  if (ret < 0) {
    return false;
  }
  if (ret > 0) {
    c->age.retrieved = retrieved != 0;
    if (retrieved != 0) {
      c->age.retrieved_at = retrieved;
    }
  } else {
    c->age.retrieved = hosting_mail_has_keyword(mail, kRetrievedKeyword);
  }
  c->bytes = mail_get_virtual_size(mail, &size) == 0 ? size : 0;
  return true;
}

// Calls visit(mail, candidate) for each message; returns 0 or -1.
template <typename Visit>
int for_each(sweep& s, struct mailbox* box, Visit&& visit) {
  struct mailbox_transaction_context* t =
      mailbox_transaction_begin(box, static_cast<enum mailbox_transaction_flags>(0), __func__);
  struct mail_search_args* args = mail_search_build_init();
  mail_search_build_add_all(args);
  struct mail_search_context* search = mailbox_search_init(
      t, args, nullptr, static_cast<enum mail_fetch_field>(MAIL_FETCH_SAVE_DATE | MAIL_FETCH_FLAGS),
      nullptr);
  mail_search_args_unref(&args);
  struct mail* mail = nullptr;
  while (mailbox_search_next(search, &mail)) {
    candidate c;
    if (look_at(mail, &c)) {
      visit(mail, c);
    }
  }
  int ret = mailbox_search_deinit(&search);
  // Sizes and dates that were looked up are kept in the cache.
  if (mailbox_transaction_commit(&t) < 0) {
    ret = -1;
  }
  return ret < 0 ? s.fail(box) : 0;
}

// Removes those messages from an open mailbox, in one transaction. Returns 0 or -1.
int expunge(sweep& s, struct mailbox* box, const std::vector<candidate>& list, const char* rule) {
  const hosting_removal_rule by(rule);
  struct mailbox_transaction_context* t =
      mailbox_transaction_begin(box, static_cast<enum mailbox_transaction_flags>(0), __func__);
  struct mail* mail = mail_alloc(t, static_cast<enum mail_fetch_field>(0), nullptr);
  for (const candidate& c : list) {
    if (mail_set_uid(mail, c.uid) && !mail->expunged) {
      mail_expunge(mail);
      s.tell("delete", box, c, rule);
    }
  }
  mail_free(&mail);
  if (mailbox_transaction_commit(&t) < 0 ||
      mailbox_sync(box, static_cast<enum mailbox_sync_flags>(0)) < 0) {
    return s.fail(box);
  }
  return 0;
}

int move(sweep& s, struct mailbox* box, const std::vector<candidate>& list) {
  const hosting_removal_rule by("retention");
  std::vector<uint32_t> uids;
  for (const candidate& c : list) {
    uids.push_back(c.uid);
    s.tell("move", box, c, "retention");
  }
  uint64_t moved = 0;
  return hosting_move_messages(s.user, box, s.rules.retention->expiry_folder.c_str(), uids, false,
                               &moved, &s.error);
}

// Takes as many as may go.
std::vector<candidate> take(sweep& s, std::vector<candidate>&& list) {
  if (s.options.most != 0 && list.size() > s.left) {
    list.resize(s.left);
  }
  s.left -= s.options.most != 0 ? static_cast<unsigned int>(list.size()) : 0;
  return std::move(list);
}

// Whether the customer has been told long enough ago. Tells them when not at all.
bool was_noticed(sweep& s, struct mailbox* box, uint64_t count, const candidate& first) {
  const hosting::Retention& retention = *s.rules.retention;
  if (retention.notice_days == 0) {
    return true;
  }
  const std::string path = hosting_user_file(s.user.user, kPop3StateName);
  hosting::Pop3State state = hosting::ReadPop3State(path);
  const int64_t wait = retention.notice_days * kDay;
  if (state.noticed != 0) {
    if (s.options.now - state.noticed >= wait) {
      return true;
    }
    s.tell("wait", box, first, "the notice was sent less than notice_days ago");
    return false;
  }
  s.tell("notice", box, first, "first deletion");
  if (s.options.dry_run != 0) {
    return false;
  }
  const time_t begin = s.options.now + wait;
  struct tm parts;
  char date[16];
  gmtime_r(&begin, &parts);
  (void)strftime(date, sizeof date, "%Y-%m-%d", &parts);
  const hosting::TemplateValues values = {
      {"user", s.user.user->username},          {"package", s.user.connection->client().package()},
      {"days", std::to_string(retention.days)}, {"date", date},
      {"count", std::to_string(count)},         {"folders", hosting_folders_text(s.user, s.rules)},
  };
  const auto text = [&](const std::string& own, std::string_view usual) {
    return hosting::FillTemplate(own.empty() ? usual : std::string_view(own), values);
  };
  if (hosting_notice_deliver(s.user, text(retention.notice_subject, hosting::kRetentionSubject),
                             text(retention.notice_text, hosting::kRetentionText)) < 0) {
    return false;
  }
  state.noticed = s.options.now;
  const hosting::Status status = hosting::WritePop3State(path, state);
  if (!status.ok()) {
    s.error = status.message();
  }
  return false;
}

void dry(const sweep& s, struct mailbox* box, const std::vector<candidate>& list,
         const char* action, const char* rule) {
  for (const candidate& c : list) {
    s.tell(action, box, c, rule);
  }
}

// Returns 0 or -1.
int sweep_inbox(sweep& s, struct mailbox* box) {
  std::vector<candidate> deferred, old;
  if (for_each(s, box, [&](struct mail*, candidate& c) {
        c.fate = hosting::FateOf(s.rules, c.age, s.options.now);
        if (c.fate != hosting::Fate::kStays) {
          (c.fate == hosting::Fate::kDeferred ? deferred : old).push_back(c);
        }
      }) < 0) {
    return -1;
  }
  const bool go = old.empty() || was_noticed(s, box, old.size(), old.front());
  deferred = take(s, std::move(deferred));
  old = take(s, go ? std::move(old) : std::vector<candidate>());
  if (s.options.dry_run != 0) {
    dry(s, box, deferred, "delete", "deferred DELE");
    dry(s, box, old, s.rules.retention && s.moves() ? "move" : "delete", "retention");
    return 0;
  }
  if (!deferred.empty() && expunge(s, box, deferred, "deferred DELE") < 0) {
    return -1;
  }
  if (old.empty()) {
    return 0;
  }
  return s.moves() ? move(s, box, old) : expunge(s, box, old, "retention");
}

int sweep_expiry(sweep& s, struct mailbox* box) {
  std::vector<candidate> old;
  if (for_each(s, box, [&](struct mail*, candidate& c) {
        if (hosting::IsPastExpiry(s.rules, c.age.delivered, s.options.now)) {
          old.push_back(c);
        }
      }) < 0) {
    return -1;
  }
  old = take(s, std::move(old));
  if (s.options.dry_run != 0) {
    dry(s, box, old, "delete", "expiry folder");
    return 0;
  }
  return old.empty() ? 0 : expunge(s, box, old, "expiry folder");
}

extern "C" {

static void count_row(void* context, const struct hosting_retention_row*) {
  ++*static_cast<unsigned int*>(context);
}

}  // extern "C"

int run_in(sweep& s, const char* vname, int (*what)(sweep&, struct mailbox*)) {
  struct mail_namespace* ns = mail_namespace_find(s.user.user->namespaces, vname);
  struct mailbox* box = mailbox_alloc(ns->list, vname, static_cast<enum mailbox_flags>(0));
  int ret = open_box(s, box);
  if (ret > 0) {
    ret = what(s, box);
  }
  mailbox_free(&box);
  return ret;
}

// Returns 1, 0 without rules, -1.
int run(sweep& s) {
  const bool defers = s.rules.dele.means == hosting::DeleMeans::kDefer;
  if (!s.rules.retention && !defers) {
    return 0;
  }
  s.user.retaining = true;
  int ret = run_in(s, "INBOX", sweep_inbox);
  if (ret >= 0 && s.rules.retention && s.moves()) {
    ret = run_in(s, s.rules.retention->expiry_folder.c_str(), sweep_expiry);
  }
  hosting_user_report(s.user);
  s.user.retaining = false;
  return ret < 0 ? -1 : 1;
}

}  // namespace

int hosting_retention_run(struct mail_user* mail_user,
                          const struct hosting_retention_options* options,
                          hosting_retention_row_t* row, void* context, const char** error_r) {
  static std::string error;
  *error_r = "Internal error";
  return hosting_guard(-1, [&] {
    hosting_user* user = hosting_user_of(mail_user);
    if (user == nullptr) {
      return 0;
    }
    sweep s{*user, hosting_pop3_rules(*user), *options, row, context, options->most, {}};
    const int ret = run(s);
    if (ret < 0) {
      error = s.error;
      *error_r = error.c_str();
    }
    return ret;
  });
}

void hosting_retention_at_end(hosting_user& user) {
  const std::string service = user.user->service;
  if ((service != "pop3" && service != "imap" && service != "lmtp") || user.user->autocreated ||
      mail_namespace_find_inbox(user.user->namespaces) == nullptr) {
    return;
  }
  const std::string path = hosting_user_file(user.user, kPop3StateName);
  const int64_t now = time(nullptr);
  struct stat info {};
  if (path.empty() || (stat(path.c_str(), &info) == 0 && now - info.st_mtime < kEvery)) {
    return;
  }
  const struct hosting_retention_options options = {.now = now, .dry_run = 0, .most = kMostAtOnce};
  const char* error = nullptr;
  unsigned int removed = 0;
  if (hosting_retention_run(user.user, &options, count_row, &removed, &error) < 0) {
    e_error(user.event, "Retention: %s", error);
  } else if (removed >= kMostAtOnce) {
    return;  // the next session goes on
  }
  // When it was looked at; also where there are no rules, so that not each session asks.
  const hosting::Status status = hosting::WritePop3State(path, hosting::ReadPop3State(path));
  if (!status.ok()) {
    e_error(user.event, "%s", status.message().c_str());
  }
}

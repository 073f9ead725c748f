#include "plugin/hosting-pop3.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#include "plugin/hosting-guard.h"
#include "plugin/hosting-notice.h"
#include "plugin/hosting-removals.h"
#include "quota/notice.h"
#include "quota/pop3_state.h"
#include "quota/retention.h"

extern "C" {
#include "mail-search-build.h"
#include "pop3-common.h"
#include "plugin/hosting-module.h"
#include "plugin/lbox-retrieved.h"
}

namespace {

constexpr int64_t kWarnEvery = 30 * 86400;  // seconds

// The hook that was there before ours.
pop3_client_created_func_t* next_hook = nullptr;

hosting_pop3_session* session_of(struct mail* mail) {
  hosting_user* user = hosting_user_of_box(mail->box);
  return user == nullptr || (mail->box->flags & MAILBOX_FLAG_POP3_SESSION) == 0 ? nullptr
                                                                                : user->pop3.get();
}

void add_keyword(struct mail* mail, const char* name) {
  const char* const names[] = {name, nullptr};
  struct mail_keywords* keywords = nullptr;
  if (mailbox_keywords_create(mail->box, names, &keywords) == 0) {
    mail_update_keywords(mail, MODIFY_ADD, keywords);
    mailbox_keywords_unref(&keywords);
  }
}

// QUIT was answered, and with it all that was sent before.
bool was_answered(const struct client* client) {
  return client->quit_seen && client->delete_success && client->mailbox != nullptr &&
         o_stream_get_buffer_used_size(client->output) == 0;
}

// For storages that keep no time. Returns 0 or -1.
int mark_retrieved(struct mailbox* box, const std::vector<uint32_t>& uids) {
  struct mailbox_transaction_context* t =
      mailbox_transaction_begin(box, static_cast<enum mailbox_transaction_flags>(0), __func__);
  struct mail* mail = mail_alloc(t, static_cast<enum mail_fetch_field>(0), nullptr);
  for (const uint32_t uid : uids) {
    if (mail_set_uid(mail, uid) && !mail->expunged) {
      add_keyword(mail, kRetrievedKeyword);
    }
  }
  mail_free(&mail);
  return mailbox_transaction_commit(&t);
}

void note_retrieved(const hosting_pop3_session& session, struct client* client) {
  static auto* const set_retrieved =
      reinterpret_cast<lbox_set_retrieved_func_t*>(dlsym(RTLD_DEFAULT, LBOX_SET_RETRIEVED_SYMBOL));
  if (session.fetched.empty()) {
    return;
  }
  struct mailbox* box = client->mailbox;
  const std::vector<uint32_t> uids(session.fetched.begin(), session.fetched.end());
  int ret = set_retrieved == nullptr
                ? 0
                : set_retrieved(box, uids.data(), static_cast<unsigned int>(uids.size()),
                                static_cast<uint32_t>(time(nullptr)));
  if (ret == 0 && session.rules.retention && !client->set->pop3_no_flag_updates) {
    ret = mark_retrieved(box, uids);
  }
  if (ret < 0) {
    e_error(box->event, "hosting: that POP3 fetched messages is not known: %s",
            mailbox_get_last_internal_error(box, nullptr));
  }
}

void warn(hosting_user& user, unsigned int deleted) {
  const std::string path = hosting_user_file(user.user, kPop3StateName);
  hosting::Pop3State state = hosting::ReadPop3State(path);
  const int64_t now = time(nullptr);
  if (path.empty() || (state.warned != 0 && now - state.warned < kWarnEvery)) {
    return;
  }
  const hosting::TemplateValues values = {{"user", user.user->username},
                                          {"count", std::to_string(deleted)}};
  const hosting::Pop3Rules& rules = user.pop3->rules;
  const auto text = [&](const std::string& own, std::string_view usual) {
    return hosting::FillTemplate(own.empty() ? usual : std::string_view(own), values);
  };
  if (hosting_notice_deliver(user, text(rules.removal_subject, hosting::kPop3RemovesSubject),
                             text(rules.removal_text, hosting::kPop3RemovesText)) == 0) {
    state.warned = now;
    const hosting::Status status = hosting::WritePop3State(path, state);
    if (!status.ok()) {
      e_error(user.event, "%s", status.message().c_str());
    }
  }
}

void at_quit(hosting_user& user, struct client* client) {
  const hosting_pop3_session& session = *user.pop3;
  note_retrieved(session, client);
  if (session.deleted != 0 && session.rules.imap && session.rules.dele.warn) {
    warn(user, session.deleted);
  }
}

extern "C" {

static void hosting_pop3_destroy(struct client* client, const char* reason) noexcept {
  const auto destroy = hosting_guard(
      static_cast<decltype(client->v.destroy)>(nullptr), [&]() -> decltype(client->v.destroy) {
        hosting_user& user = *hosting_user_of(client->user);
        const auto next = reinterpret_cast<decltype(client->v.destroy)>(user.pop3->destroy);
        if (was_answered(client)) {
          hosting_guard(0, [&] {
            at_quit(user, client);
            return 0;
          });
        }
        return next;
      });
  destroy(client, reason);
}

static void hosting_pop3_client_created(struct client** _client) noexcept {
  struct client* client = *_client;
  hosting_guard(0, [&] {
    hosting_user* user = hosting_user_of(client->user);
    if (user == nullptr) {
      return 0;
    }
    user->pop3 = std::make_unique<hosting_pop3_session>();
    user->pop3->rules = hosting_pop3_rules(*user);
    user->pop3->destroy = reinterpret_cast<void (*)(void*, const char*)>(client->v.destroy);
    client->v.destroy = hosting_pop3_destroy;
    if (user->pop3->rules.dele.means == hosting::DeleMeans::kHide &&
        client->set->pop3_deleted_flag[0] == '\0') {
      // Listings leave out what has the keyword; DELE sets it in hosting_pop3_keeps().
      auto* set = static_cast<struct pop3_settings*>(
          p_memdup(client->pool, client->set, sizeof(*client->set)));
      set->pop3_deleted_flag = kHiddenKeyword;
      client->set = set;
    }
    return 0;
  });
  if (next_hook != nullptr) {
    next_hook(_client);
  }
}

}  // extern "C"

}  // namespace

hosting::Pop3Rules hosting_pop3_rules(hosting_user& user) {
  hosting_user_touch(user);
  return user.connection == nullptr ? hosting::Pop3Rules() : user.connection->client().pop3();
}

bool hosting_pop3_keeps(struct mail* mail) {
  hosting_pop3_session* session = session_of(mail);
  if (session == nullptr) {
    return false;
  }
  const hosting::Pop3Dele& dele = session->rules.dele;
  if (dele.means == hosting::DeleMeans::kHide) {
    add_keyword(mail, kHiddenKeyword);
    return true;
  }
  time_t saved = 0;
  if (dele.means == hosting::DeleMeans::kDefer && mail_get_save_date(mail, &saved) >= 0) {
    hosting::MessageAge age;
    age.delivered = saved;
    age.deferred = true;
    if (hosting::FateOf(session->rules, age, time(nullptr)) != hosting::Fate::kDeferred) {
      add_keyword(mail, kDeferredKeyword);
      return true;
    }
  }
  session->deleted++;
  return false;
}

void hosting_pop3_opened(struct mail* mail, struct istream* stream) {
  hosting_pop3_session* session = session_of(mail);
  const char* reason = reinterpret_cast<struct mail_private*>(mail)->get_stream_reason;
  if (session != nullptr && reason != nullptr &&
      (strcmp(reason, "RETR") == 0 || strcmp(reason, "TOP") == 0)) {
    session->reading = mail;
    session->stream = stream;
  }
}

void hosting_pop3_closing(struct mail* mail) {
  hosting_pop3_session* session = session_of(mail);
  if (session == nullptr || session->reading != mail) {
    return;
  }
  session->reading = nullptr;
  const unsigned char* data = nullptr;
  size_t size = 0;
  if (i_stream_read_more(session->stream, &data, &size) < 0 && session->stream->eof &&
      session->stream->stream_errno == 0) {
    session->fetched.insert(mail->uid);
  }
}

int hosting_pop3_retrieved_at(struct mail* mail, int64_t* at_r) {
  static auto* const get_retrieved =
      reinterpret_cast<lbox_get_retrieved_func_t*>(dlsym(RTLD_DEFAULT, LBOX_GET_RETRIEVED_SYMBOL));
  uint32_t at = 0;
  const int ret = get_retrieved == nullptr ? 0 : get_retrieved(mail, &at);
  *at_r = at;
  return ret;
}

bool hosting_mail_has_keyword(struct mail* mail, const char* keyword) {
  for (const char* const* name = mail_get_keywords(mail); *name != nullptr; ++name) {
    if (strcasecmp(*name, keyword) == 0) {
      return true;
    }
  }
  return false;
}

void hosting_pop3_init(void) {
  // Only the program pop3 has it.
  auto* const set_hook = reinterpret_cast<decltype(pop3_client_created_hook_set)*>(
      dlsym(RTLD_DEFAULT, "pop3_client_created_hook_set"));
  if (set_hook != nullptr) {
    next_hook = set_hook(hosting_pop3_client_created);
  }
}

void hosting_pop3_deinit(void) {
  auto* const set_hook = reinterpret_cast<decltype(pop3_client_created_hook_set)*>(
      dlsym(RTLD_DEFAULT, "pop3_client_created_hook_set"));
  if (set_hook != nullptr) {
    set_hook(next_hook);
  }
}

#include "plugin/hosting-notice.h"

#include <ctime>

#include "plugin/hosting-guard.h"
#include "quota/notice.h"

extern "C" {
#include "message-date.h"
}

namespace {

// Whoever writes for the domain; the host's name where the user has none.
std::string domain_of(const std::string& user) {
  const size_t at = user.rfind('@');
  return at == std::string::npos ? my_hostname : user.substr(at + 1);
}

int save(struct mailbox_transaction_context* t, const std::string& message) {
  struct istream* input = i_stream_create_from_data(message.data(), message.size());
  struct mail_save_context* ctx = mailbox_save_alloc(t);
  int ret = mailbox_save_begin(&ctx, input);
  if (ret == 0) {
    ssize_t more = 0;
    do {
      ret = mailbox_save_continue(ctx);
      more = ret < 0 ? -1 : i_stream_read(input);
    } while (more > 0);
    if (ret < 0) {
      mailbox_save_cancel(&ctx);
    } else {
      ret = mailbox_save_finish(&ctx);
    }
  }
  i_stream_unref(&input);
  return ret;
}

int save(struct mailbox* box, const std::string& message) {
  if (mailbox_open(box) < 0) {
    return -1;
  }
  struct mailbox_transaction_context* t =
      mailbox_transaction_begin(box, MAILBOX_TRANSACTION_FLAG_EXTERNAL, __func__);
  if (save(t, message) < 0) {
    mailbox_transaction_rollback(&t);
    return -1;
  }
  return mailbox_transaction_commit(&t);
}

}  // namespace

int hosting_notice_deliver(hosting_user& user, const std::string& subject,
                           const std::string& text) {
  const std::string name = user.user->username;
  const std::string domain = domain_of(name);
  guid_128_t id;
  guid_128_generate(id);
  hosting::Notice notice;
  notice.from = "postmaster@" + domain;
  notice.to = name.find('@') == std::string::npos ? name + "@" + domain : name;
  notice.subject = subject;
  notice.text = text;
  notice.date = message_date_create(time(nullptr));
  notice.id = std::string(guid_128_to_string(id)) + "@" + domain;

  return hosting_notice_save(user, hosting::MessageOf(notice));
}

int hosting_notice_save(hosting_user& user, const std::string& message) {
  struct mail_namespace* ns = mail_namespace_find_inbox(user.user->namespaces);
  struct mailbox* box = mailbox_alloc(
      ns->list, "INBOX",
      static_cast<enum mailbox_flags>(MAILBOX_FLAG_SAVEONLY | MAILBOX_FLAG_POST_SESSION));
  user.noticing = true;
  const int ret = save(box, message);
  user.noticing = false;
  if (ret < 0) {
    e_error(user.event, "A notice could not be delivered: %s",
            mailbox_get_last_internal_error(box, nullptr));
  }
  mailbox_free(&box);
  return ret;
}

#include "plugin/guard.h"

#include <string>

namespace {

struct ErrorText {
  enum mail_error error;
  const char* text;  // for the client; nullptr: Dovecot's "internal error, see the log"
};

ErrorText error_text(lbox::Code code) {
  switch (code) {
    case lbox::Code::kOk:
      break;
    case lbox::Code::kNotFound:
      return {MAIL_ERROR_EXPUNGED, "Message or mailbox no longer exists"};
    case lbox::Code::kNoSpace:
      return {MAIL_ERROR_UNAVAILABLE,
              "No disk space left on the mail server; deleting mail still works, try again later"};
    case lbox::Code::kFull:
      return {MAIL_ERROR_UNAVAILABLE,
              "The mail index is full; deleting mail still works, contact your provider"};
    case lbox::Code::kBusy:
    case lbox::Code::kAborted:
    case lbox::Code::kUnavailable:
      return {MAIL_ERROR_UNAVAILABLE, "Mail storage is busy; try again later"};
    case lbox::Code::kInvalid:
      return {MAIL_ERROR_NOTPOSSIBLE, "Not possible in this mail storage"};
    case lbox::Code::kPermission:
      return {MAIL_ERROR_PERM, "Permission to the mail storage denied; contact your provider"};
    case lbox::Code::kCorruption:
      // Dovecot's IMAP answers this with NO; after other errors of FETCH it hangs up, and clients
      // come back to the same message again and again.
      return {MAIL_ERROR_INVALIDDATA, "Stored mail is damaged; contact your provider"};
    case lbox::Code::kIo:
    case lbox::Code::kUnsupported:
      break;
  }
  return {MAIL_ERROR_TEMP, nullptr};
}

// What metrics tell failures apart by: docs/monitoring.md.
const char* reason_name(lbox::Code code) {
  switch (code) {
    case lbox::Code::kNoSpace:
      return "no-space";
    case lbox::Code::kFull:
      return "index-full";
    case lbox::Code::kBusy:
    case lbox::Code::kAborted:
      return "busy";
    case lbox::Code::kUnavailable:
      return "unavailable";
    case lbox::Code::kInvalid:
      return "invalid";
    case lbox::Code::kPermission:
      return "permission";
    case lbox::Code::kCorruption:
      return "damaged";
    case lbox::Code::kUnsupported:
      return "unsupported";
    case lbox::Code::kOk:
    case lbox::Code::kNotFound:
    case lbox::Code::kIo:
      break;
  }
  return "io";
}

}  // namespace

void lbox_event_failed(struct event* event, lbox::Code code) {
  const char* reason = reason_name(code);
  struct event_passthrough* e =
      event_create_passthrough(event)->set_name("lbox_failed")->add_str("reason", reason);
  e_debug(e->event(), "lbox: failed: %s", reason);
}

int lbox_fail(struct mail_storage* storage, struct event* event, const lbox::Status& status) {
  const ErrorText text = error_text(status.code());
  if (status.code() != lbox::Code::kNotFound) {
    lbox_event_failed(event, status.code());
  }
  if (text.text == nullptr) {
    mail_storage_set_critical(storage, "lbox: %s", status.message().c_str());
    return -1;
  }
  if (status.code() == lbox::Code::kCorruption &&
      status.message().find("doveadm lbox") == std::string::npos) {
    e_error(event, "lbox: %s; run: doveadm lbox verify -u %s", status.message().c_str(),
            storage->user->username);
  } else if (status.code() != lbox::Code::kNotFound) {
    e_error(event, "lbox: %s", status.message().c_str());
  }
  mail_storage_set_error(storage, text.error, text.text);
  return -1;
}

int lbox_fail_mail(struct mail* mail, const lbox::Status& status) {
  if (status.code() == lbox::Code::kNotFound) {
    mail_set_expunged(mail);
    return -1;
  }
  return lbox_fail(mail->box->storage, mail->box->event, status);
}

// From storage/'s Status to Dovecot's errors, and the barrier that no exception passes.
//
// Every function that Dovecot calls is `extern "C" noexcept` and does its work through lbox_guard,
// so that an exception (in practice std::bad_alloc) becomes an error of that call instead of
// unwinding through Dovecot's C frames. Client texts are short and say what to do; the log line has
// the whole reason. A full disk is a temporary failure (LMTP 4xx, IMAP NO), never "over quota",
// since retrying later may succeed.
#pragma once

#include <exception>
#include <utility>

#include "plugin/dovecot.h"
#include "storage/status.h"

// An event lbox_failed for metrics, with the reason as a word; the log has the line already.
void lbox_event_failed(struct event* event, lbox::Code code);
// Sets the storage's error and logs the reason under `event`. Always returns -1.
int lbox_fail(struct mail_storage* storage, struct event* event, const lbox::Status& status);
// The same for one message: kNotFound marks it expunged without logging.
int lbox_fail_mail(struct mail* mail, const lbox::Status& status);

// Runs body(); an exception is logged, set as the storage's error, and answered by `failed`.
template <typename Result, typename Body>
Result lbox_guard(struct mail_storage* storage, Result failed, Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::exception& error) {
    mail_storage_set_critical(storage, "lbox: %s", error.what());
    return failed;
  }
}

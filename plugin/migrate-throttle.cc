// The limit on IO of `doveadm lbox migrate --io-limit`, kept in its children: before a message is
// read, the process waits until what it has read from and written to disk so far fits the limit. At
// that place it holds no lock of a Maildir's, so nobody waits for it.
#include <cstdlib>
#include <ctime>

#include <sys/resource.h>
#include <unistd.h>

#include "plugin/dovecot.h"
#include "plugin/migrate-gate.h"

extern "C" {
#include "plugin/migrate-enter.h"
}

namespace {

constexpr double kBlock = 512;  // bytes, of getrusage's counters

MODULE_CONTEXT_DEFINE_INIT(lbox_migrate_mail_module, &mail_module_register);

double limit() {
  const char* text = getenv(lbox::migrate::kIoVariable);
  return text == nullptr ? 0 : strtod(text, nullptr);
}

double seconds() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return kBlock * static_cast<double>(usage.ru_inblock + usage.ru_oublock);
}

// Until the limit is kept, or a signal comes.
void wait_for_limit() {
  static const double rate = limit(), began = seconds(), had = bytes();
  const double wait = (bytes() - had) / rate - (seconds() - began);
  if (wait > 0) {
    struct timespec time {};
    time.tv_sec = static_cast<time_t>(wait);
    time.tv_nsec = static_cast<long>((wait - static_cast<double>(time.tv_sec)) * 1e9);
    (void)nanosleep(&time, nullptr);
  }
}

extern "C" {

static int migrate_mail_get_stream(struct mail* _mail, bool get_body, struct message_size* hdr_size,
                                   struct message_size* body_size,
                                   struct istream** stream_r) noexcept {
  auto* mail = reinterpret_cast<struct mail_private*>(_mail);
  auto* context =
      static_cast<union mail_module_context*>(MODULE_CONTEXT(mail, lbox_migrate_mail_module));
  wait_for_limit();
  return context->super.get_stream(_mail, get_body, hdr_size, body_size, stream_r);
}

}  // extern "C"

}  // namespace

void lbox_migrate_mail_allocated(struct mail* _mail) {
  static const bool limited = limit() > 0;
  if (!limited) {
    return;
  }
  auto* mail = reinterpret_cast<struct mail_private*>(_mail);
  struct mail_vfuncs* v = mail->vlast;
  auto* context = p_new(mail->pool, union mail_module_context, 1);
  context->super = *v;
  mail->vlast = &context->super;
  v->get_stream = migrate_mail_get_stream;
  MODULE_CONTEXT_SET_SELF(mail, lbox_migrate_mail_module, context);
}

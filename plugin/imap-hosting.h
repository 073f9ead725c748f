/* The plugin "imap_hosting": IMAP sessions by the policy's rules about protocols.

   Purpose: asks hosting-usage when a session begins, also an unhibernated one, and again when the
   policy has changed meanwhile: BYE with the reason, or a warning. Auth decides first
   (auth-hosting.h); this covers logins that did not pass auth's module and sessions that are open
   when a package changes. Processes: imap. Failure modes: without the service sessions go on. Plain
   C but for the request itself. */
#ifndef IMAP_HOSTING_H
#define IMAP_HOSTING_H

#include <stdbool.h>

struct client;
struct mail_user;

/* imap-hosting-series-*.c ------------------------------------------------ */

/* A setting of the plugin "hosting", from the data stack; fallback: its default. */
const char* imap_hosting_setting(struct mail_user* user, const char* name, const char* fallback);

/* How long to wait for hosting-usage, in ms: the setting hosting_timeout. */
unsigned int imap_hosting_patience(struct mail_user* user);

/* imap-hosting-ask.cc ---------------------------------------------------- */

struct imap_hosting_question {
  const char *socket, *user, *account, *package; /* "": none */
  const char* address;                           /* "": not known */
  unsigned int port;                             /* 0: not known */
  unsigned int timeout_ms;                       /* of the answer */
  bool master_user, exempt, quiet;
  bool alert; /* also whether the account grows too full */
};

enum imap_hosting_verdict {
  IMAP_HOSTING_UNKNOWN, /* the service does not answer in time */
  IMAP_HOSTING_ALLOW,
  IMAP_HOSTING_WARN,
  IMAP_HOSTING_DENY
};

#ifdef __cplusplus
extern "C" {
#endif
/* *text_r, *rule_r, *alert_r: until the next call; *text_r and *alert_r are "" when there is
   nothing to tell. */
enum imap_hosting_verdict imap_hosting_ask(const struct imap_hosting_question* question,
                                           const char** text_r, const char** rule_r,
                                           const char** alert_r);
#ifdef __cplusplus
}
#endif

#endif

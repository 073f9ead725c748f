/* The auth module "hosting": refuses logins by protocols that the user's package does not include.

   Purpose: acts on the answer that auth is about to give to a right password, after all passdbs and
   mechanisms, whatever they are; every other answer goes out as it is, and when it would have. How
   it gets there: each mechanism's first call is routed through the module, which puts its own reply
   callback into the request's handler (auth-request-handler-private.h, which Dovecot installs). The
   passdb "hosting" is how the configuration asks for the module; it knows no user and passes on to
   the next passdb. Processes: auth, unprivileged; one thread. Failure modes: without a policy the
   last good one holds, else a configured default; nothing here delays or fails a login otherwise.
   Plain C: auth's headers are not for C++. */
#ifndef AUTH_HOSTING_H
#define AUTH_HOSTING_H

#include <stdbool.h>
#include <stdint.h>

struct auth_request;
struct mechanisms_register;

/* auth-hosting.c -------------------------------------------------------- */

/* From the passdb's settings, before auth drops its privileges. deny_default: without any policy.
 */
void auth_hosting_configure(const char* table, bool deny_default);

/* auth-hosting-series-*.c ----------------------------------------------- */

/* The passdb's table of functions, which calls auth_hosting_configure(). */
extern struct passdb_module_interface auth_hosting_passdb;
const struct mechanisms_register* auth_hosting_mechanisms(void);
const char* auth_hosting_service(const struct auth_request* request);
/* Makes request->fields.userdb_reply if there is none. */
void auth_hosting_need_userdb_reply(struct auth_request* request);
/* A failure is answered at once, and does not count for the client's address. */
void auth_hosting_no_delay(struct auth_request* request);

/* auth-hosting-policy.cc ------------------------------------------------ */

struct auth_hosting_login {
  const char *user, *service;
  const char *account, *package; /* fields hosting_account, hosting_package; NULL: none */
  const char* entry_hop;         /* address; NULL: not known */
  unsigned int port;             /* of the listener; 0: not known */
  bool master_user;
  int64_t now; /* Unix seconds */
};

enum auth_hosting_access { AUTH_HOSTING_ALLOW, AUTH_HOSTING_WARN, AUTH_HOSTING_DENY };

/* Texts live until the next call. */
struct auth_hosting_answer {
  enum auth_hosting_access access;
  bool alert;          /* fail with [ALERT], in place of nologin */
  bool in_session;     /* let the denied login in: the session tells, and ends */
  bool exempt;         /* would be denied or warned without an exemption */
  bool marked;         /* is exempt from whatever the policy will say while the session is open */
  const char* text;    /* for the user, with WARN and DENY */
  const char* reason;  /* for the log: which rule or exemption decides */
  const char* problem; /* for the log; NULL: none */
};

#ifdef __cplusplus
extern "C" {
#endif
void auth_hosting_policy_init(const char* table, bool deny_default, void (*log)(const char* line));
void auth_hosting_policy_deinit(void);
/* Returns false when the policy says nothing about the login. */
bool auth_hosting_decide(const struct auth_hosting_login* login,
                         struct auth_hosting_answer* answer_r);
#ifdef __cplusplus
}
#endif

#endif

/* Commands of `doveadm hosting` that look into one user's mail, as that user. Plain C. */
#ifndef DOVEADM_HOSTING_MAIL_H
#define DOVEADM_HOSTING_MAIL_H

#include "doveadm-mail.h"

struct hosting_mail_cmd {
  struct doveadm_mail_cmd_context ctx;
  void (*print_headers)(void);
};

/* doveadm-hosting-mail.cc */
struct doveadm_mail_cmd_context* cmd_hosting_retention_alloc(void);
struct doveadm_mail_cmd_context* cmd_hosting_folders_alloc(void);
struct doveadm_mail_cmd_context* cmd_hosting_merge_alloc(void);
struct doveadm_mail_cmd_context* cmd_hosting_trace_alloc(void);

/* doveadm-hosting-series-*.c: lets print_headers be called behind the header that Dovecot prints
   when a command goes through several users, and lets the command have options. */
void doveadm_hosting_mail_init(struct hosting_mail_cmd* cmd);

#endif

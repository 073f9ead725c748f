/* What differs for doveadm commands in Dovecot 2.3: options of mail commands are announced to
   getopt as well, also when they are read by name. */
#include "lib.h"
#include "doveadm-mail.h"
#include "doveadm-lbox.h"

static bool accept_option(struct doveadm_mail_cmd_context* ctx ATTR_UNUSED, int c) {
  return c == LBOX_FAST_OPTION;
}

void doveadm_lbox_accept_fast(struct doveadm_mail_cmd_context* ctx) {
  static const char options[] = {LBOX_FAST_OPTION, '\0'};

  ctx->getopt_args = options;
  ctx->v.parse_arg = accept_option;
}

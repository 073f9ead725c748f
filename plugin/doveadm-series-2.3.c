/* What differs for doveadm commands in Dovecot 2.3: options of mail commands are announced to
   getopt as well, also when they are read by name; initializing takes arguments. */
#include "lib.h"
#include "doveadm-mail.h"
#include "doveadm-lbox.h"

static void init(struct doveadm_mail_cmd_context* ctx, const char* const args[] ATTR_UNUSED) {
  struct lbox_cmd_context* lbox_ctx = container_of(ctx, struct lbox_cmd_context, ctx);

  lbox_ctx->print_headers();
}

void doveadm_lbox_set_init(struct lbox_cmd_context* ctx) {
  ctx->ctx.v.init = init;
}

static bool accept_option(struct doveadm_mail_cmd_context* ctx ATTR_UNUSED, int c ATTR_UNUSED) {
  return TRUE;
}

void doveadm_lbox_accept_options(struct doveadm_mail_cmd_context* ctx, const char* options) {
  ctx->getopt_args = options;
  ctx->v.parse_arg = accept_option;
}

bool doveadm_lbox_driver_is_setting(void) {
  return FALSE;
}

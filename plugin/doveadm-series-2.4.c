/* What differs for doveadm commands in Dovecot 2.4: options need no more than their name. */
#include "lib.h"
#include "doveadm-mail.h"
#include "doveadm-lbox.h"

static void init(struct doveadm_mail_cmd_context* ctx) {
  struct lbox_cmd_context* lbox_ctx = container_of(ctx, struct lbox_cmd_context, ctx);

  lbox_ctx->print_headers();
}

void doveadm_lbox_set_init(struct lbox_cmd_context* ctx) {
  ctx->ctx.v.init = init;
}

void doveadm_lbox_accept_options(struct doveadm_mail_cmd_context* ctx ATTR_UNUSED,
                                 const char* options ATTR_UNUSED) {}

bool doveadm_lbox_driver_is_setting(void) {
  return TRUE;
}

/* What differs for doveadm commands in Dovecot 2.4: nothing has to be done. */
#include "lib.h"
#include "doveadm-mail.h"
#include "doveadm-lbox.h"

void doveadm_lbox_accept_fast(struct doveadm_mail_cmd_context* ctx ATTR_UNUSED) {}

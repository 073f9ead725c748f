/* doveadm lbox verify and doveadm lbox repair: one row for each thing found or done, and one that
   sums up each store. */
#include "lib.h"
#include "ioloop.h"
#include "mail-namespace.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "doveadm-mail.h"
#include "doveadm-print.h"
#include "doveadm-lbox.h"
#include "lbox-admin.h"

#define PROGRESS_INTERVAL_SECS 5

/* What the calls from the driver need. */
struct run_context {
  struct mail_user* user;
  const struct lbox_admin_result* result; /* its path is known before anything is told */
  time_t last_progress;
};

static void print_row(const char* path, const char* kind, const char* mailbox, uint32_t uid,
                      const char* guid, const char* text) {
  doveadm_print(path);
  doveadm_print(kind);
  doveadm_print(mailbox);
  doveadm_print_num(uid);
  doveadm_print(guid);
  doveadm_print(text);
}

static void call_finding(void* context, const struct lbox_admin_finding* finding) {
  struct run_context* run = context;

  print_row(run->result->path, finding->kind, finding->mailbox, finding->uid, finding->guid,
            finding->text);
}

static void call_line(void* context, const char* line) {
  struct run_context* run = context;

  print_row(run->result->path, "repair", "", 0, "", line);
}

static void call_progress(void* context, uint64_t done, uint64_t total_bytes) {
  struct run_context* run = context;
  time_t now = time(NULL);

  if (now - run->last_progress < PROGRESS_INTERVAL_SECS || total_bytes == 0)
    return;
  run->last_progress = now;
  e_info(run->user->event, "%s: checked %" PRIu64 " of %" PRIu64 " MiB", run->result->path,
         done >> 20, total_bytes >> 20);
}

static const char* counts_text(const struct lbox_admin_result* result) {
  return t_strdup_printf("%" PRIu64 " messages in %" PRIu64 " mailboxes, %" PRIu64
                         " packs, %" PRIu64 " bytes",
                         result->messages, result->mailboxes, result->packs, result->bytes);
}

static void print_verify_result(const struct lbox_admin_result* result, struct mail_user* user) {
  if (result->findings == 0) {
    print_row(result->path, "good", "", 0, "", counts_text(result));
  } else {
    print_row(result->path, "damaged", "", 0, "",
              t_strdup_printf("%" PRIu64 " problems; run: doveadm lbox repair -u %s",
                              result->findings, user->username));
  }
}

static void print_repair_result(const struct lbox_admin_result* result) {
  if (result->findings > 0) {
    print_row(result->path, "damaged", "", 0, "",
              t_strdup_printf("%" PRIu64 " problems are left", result->findings));
  } else if (!result->repaired) {
    print_row(result->path, "good", "", 0, "",
              t_strdup_printf("nothing to repair: %s", counts_text(result)));
  } else {
    print_row(
        result->path, "repaired", "", 0, "",
        t_strdup_printf("%" PRIu64 " messages lost; now %s", result->lost, counts_text(result)));
  }
}

static int run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user, bool repair) {
  struct lbox_admin_result result;
  struct run_context context = {.user = user, .result = &result, .last_progress = time(NULL)};
  const struct lbox_admin_calls calls = {
      .context = &context,
      .finding = call_finding,
      .line = call_line,
      .progress = call_progress,
  };
  struct mail_namespace* ns;
  bool fast = FALSE, damaged = FALSE;
  unsigned int found = 0;
  int ret;

  (void)doveadm_cmd_param_bool(ctx->cctx, "fast", &fast);
  for (ns = user->namespaces; ns != NULL; ns = ns->next) {
    if (ns->storage == NULL || doveadm_lbox_storage_seen_before(ns))
      continue;
    if (repair)
      ret = lbox_admin_table.repair(ns->storage, ns->list, &calls, &result);
    else
      ret = lbox_admin_table.verify(ns->storage, ns->list, fast ? 1 : 0, &calls, &result);
    if (ret < 0) {
      doveadm_mail_failed_storage(ctx, ns->storage);
      return -1;
    }
    if (ret == 0)
      continue;
    found++;
    damaged = damaged || result.findings > 0;
    if (repair)
      print_repair_result(&result);
    else
      print_verify_result(&result, user);
  }
  if (found == 0) {
    e_error(user->event, "None of the user's mail storages is lbox");
    doveadm_mail_failed_error(ctx, MAIL_ERROR_NOTFOUND);
    return -1;
  }
  if (damaged) {
    doveadm_mail_failed_error(ctx, MAIL_ERROR_INVALIDDATA);
    return -1;
  }
  return 0;
}

static int cmd_lbox_verify_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  return run(ctx, user, FALSE);
}

static int cmd_lbox_repair_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  return run(ctx, user, TRUE);
}

static void print_headers(void) {
  doveadm_print_header("store", "Store", 0);
  doveadm_print_header("kind", "Kind", 0);
  doveadm_print_header("mailbox", "Mailbox", 0);
  doveadm_print_header("uid", "UID",
                       DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY | DOVEADM_PRINT_HEADER_FLAG_NUMBER);
  doveadm_print_header("guid", "GUID", 0);
  doveadm_print_header("text", "Text", 0);
}

static struct lbox_cmd_context* alloc(void) {
  struct lbox_cmd_context* ctx = doveadm_mail_cmd_alloc(struct lbox_cmd_context);

  ctx->print_headers = print_headers;
  doveadm_lbox_set_init(ctx);
  /* 2.4 forbids this later than here. */
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  return ctx;
}

struct doveadm_mail_cmd_context* cmd_lbox_verify_alloc(void) {
  struct lbox_cmd_context* ctx = alloc();

  doveadm_lbox_accept_options(&ctx->ctx, LBOX_FAST_GETOPT);
  ctx->ctx.v.run = cmd_lbox_verify_run;
  return &ctx->ctx;
}

struct doveadm_mail_cmd_context* cmd_lbox_repair_alloc(void) {
  struct lbox_cmd_context* ctx = alloc();

  ctx->ctx.v.run = cmd_lbox_repair_run;
  return &ctx->ctx;
}

// doveadm hosting retention run, folders, merge-folders, trace: one user's mail, as that user.
#include <dlfcn.h>

#include <cinttypes>
#include <ctime>

#include "plugin/doveadm-hosting-common.h"
#include "quota/removal_journal.h"
#include "quota/size.h"

extern "C" {
#include "plugin/doveadm-hosting-mail.h"
#include "plugin/hosting-mail-admin.h"
}

namespace {

// Why a parameter cannot be used; the command fails.
int wrong(struct doveadm_mail_cmd_context* ctx, const std::string& why) {
  i_error("hosting: %s", why.c_str());
  doveadm_mail_failed_error(ctx, MAIL_ERROR_PARAMS);
  return -1;
}

// What a function of the plugin answered. Returns 0 or -1.
int answer(struct doveadm_mail_cmd_context* ctx, struct mail_user* user, int ret, const char* none,
           const char* error) {
  if (ret > 0) {
    return 0;
  }
  if (ret < 0) {
    e_error(user->event, "hosting: %s", error);
    doveadm_mail_failed_error(ctx, MAIL_ERROR_TEMP);
    return -1;
  }
  e_info(user->event, "hosting: %s", none);
  return 0;
}

template <typename Function>
int call(struct doveadm_mail_cmd_context* ctx, struct mail_user* user, const char* symbol,
         const char* none, Function&& function) {
  void* const found = dlsym(RTLD_DEFAULT, symbol);
  if (found == nullptr) {
    return wrong(ctx, "the plugin hosting is not loaded: it has to be in mail_plugins");
  }
  const char* error = "";
  const int ret = function(found, &error);
  return answer(ctx, user, ret, none, error);
}

bool number(const std::string& text, int64_t* value) {
  return str_to_int64(text.c_str(), value) == 0;
}

extern "C" {

static void print_retention(void*, const struct hosting_retention_row* row) {
  doveadm_print(row->action);
  doveadm_print(row->mailbox);
  doveadm_print_num(row->uid);
  doveadm_hosting_print(doveadm_hosting_time(row->delivered));
  doveadm_hosting_print(doveadm_hosting_time(row->retrieved));
  doveadm_print_num(row->bytes);
  doveadm_print(row->rule);
}

static void retention_headers() {
  doveadm_hosting_text_column("action");
  doveadm_hosting_text_column("mailbox");
  doveadm_hosting_number_column("uid");
  doveadm_hosting_text_column("delivered");
  doveadm_hosting_text_column("retrieved");
  doveadm_hosting_number_column("bytes");
  doveadm_hosting_text_column("rule");
}

static int retention_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  struct hosting_retention_options options = {
      .now = time(nullptr),
      .dry_run = doveadm_hosting_flag(ctx->cctx, "dry-run") ? 1 : 0,
      .most = 0,
  };
  const std::string now = doveadm_hosting_param(ctx->cctx, "now");
  if (!now.empty() && !number(now, &options.now)) {
    return wrong(ctx, "--now takes seconds since 1970, found " + now);
  }
  return call(ctx, user, HOSTING_RETENTION_SYMBOL, "no rule of the package removes mail",
              [&](void* function, const char** error) {
                return reinterpret_cast<hosting_retention_func_t*>(function)(
                    user, &options, print_retention, nullptr, error);
              });
}

static void print_folder(void*, const struct hosting_folder_row* row) {
  doveadm_print(row->mailbox);
  doveadm_print(row->kind);
  doveadm_print_num(row->messages);
  doveadm_print_num(row->bytes);
  doveadm_print_num(row->moved);
}

static void folder_headers() {
  doveadm_hosting_text_column("mailbox");
  doveadm_hosting_text_column("kind");
  doveadm_hosting_number_column("messages");
  doveadm_hosting_number_column("bytes");
  doveadm_hosting_number_column("moved");
}

static int folders_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  return call(ctx, user, HOSTING_FOLDERS_SYMBOL, "the user is of no account",
              [&](void* function, const char** error) {
                return reinterpret_cast<hosting_folders_func_t*>(function)(user, print_folder,
                                                                           nullptr, error);
              });
}

static int merge_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  const int all = doveadm_hosting_flag(ctx->cctx, "all") ? 1 : 0;
  return call(ctx, user, HOSTING_MERGE_SYMBOL, "the user is of no account",
              [&](void* function, const char** error) {
                return reinterpret_cast<hosting_merge_func_t*>(function)(user, all, print_folder,
                                                                         nullptr, error);
              });
}

static void print_trace(void*, const struct hosting_trace_row* row) {
  doveadm_hosting_print(doveadm_hosting_time(row->at));
  doveadm_print(row->rule);
  doveadm_print(row->protocol);
  doveadm_print(row->address);
  doveadm_print(row->session);
  doveadm_print(row->mailbox);
  doveadm_print_num(row->uid);
  doveadm_print_num(row->bytes);
  doveadm_print(row->to);
  doveadm_print(row->message_id);
}

static void trace_headers() {
  for (const char* name : {"at", "rule", "protocol", "address", "session", "mailbox"}) {
    doveadm_hosting_text_column(name);
  }
  doveadm_hosting_number_column("uid");
  doveadm_hosting_number_column("bytes");
  doveadm_hosting_text_column("to");
  doveadm_hosting_text_column("message_id");
}

static int trace_run(struct doveadm_mail_cmd_context* ctx, struct mail_user* user) {
  const std::string id = doveadm_hosting_param(ctx->cctx, "message-id");
  const std::string since = doveadm_hosting_param(ctx->cctx, "since");
  const int64_t now = time(nullptr);
  int64_t begin = now - hosting::kJournalDays * INT64_C(86400);
  if (!since.empty() && !number(since, &begin)) {
    const auto duration = hosting::ParseDuration(since);
    if (!duration.ok()) {
      return wrong(ctx, "--since: " + duration.status().message());
    }
    begin = now - *duration;
  }
  return call(ctx, user, HOSTING_TRACE_SYMBOL, "the user is of no account",
              [&](void* function, const char** error) {
                return reinterpret_cast<hosting_trace_func_t*>(function)(
                    user, id.c_str(), begin, print_trace, nullptr, error);
              });
}

}  // extern "C"

struct doveadm_mail_cmd_context* alloc(int (*run)(struct doveadm_mail_cmd_context*,
                                                  struct mail_user*),
                                       void (*headers)()) {
  auto* cmd =
      reinterpret_cast<hosting_mail_cmd*>(doveadm_mail_cmd_alloc_size(sizeof(hosting_mail_cmd)));
  cmd->print_headers = headers;
  cmd->ctx.v.run = run;
  doveadm_hosting_mail_init(cmd);
  // 2.4 forbids this later than here.
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  return &cmd->ctx;
}

}  // namespace

struct doveadm_mail_cmd_context* cmd_hosting_retention_alloc(void) {
  return alloc(retention_run, retention_headers);
}

struct doveadm_mail_cmd_context* cmd_hosting_folders_alloc(void) {
  return alloc(folders_run, folder_headers);
}

struct doveadm_mail_cmd_context* cmd_hosting_merge_alloc(void) {
  return alloc(merge_run, folder_headers);
}

struct doveadm_mail_cmd_context* cmd_hosting_trace_alloc(void) {
  return alloc(trace_run, trace_headers);
}

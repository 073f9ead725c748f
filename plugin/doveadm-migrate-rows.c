/* doveadm lbox migrate-rows [--print user|boxes|new|all]: what a storage holds, as lines that
   `doveadm lbox migrate` compares (migrate-rows.h says what is in them). Bodies are read as a
   stream, so that memory does not depend on what the user has. */
#include "lib.h"
#include "array.h"
#include "hash.h"
#include "istream.h"
#include "istream-crlf.h"
#include "str.h"
#include "strescape.h"
#include "mail-namespace.h"
#include "mail-search-build.h"
#include "mail-storage-private.h"
#include "mail-user.h"
#include "mailbox-list-iter.h"
#include "doveadm-mail.h"
#include "doveadm-print.h"
#include "doveadm-lbox.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAX_KNOWN_LINE 256

struct rows_context {
  struct doveadm_mail_cmd_context ctx;
  /* GUIDs of mailboxes -> the last UID whose body need not be read */
  HASH_TABLE(char*, void*) known;
  bool boxes, messages, failed;
};

static void read_known(struct rows_context* ctx) {
  struct istream* input = i_stream_create_fd(STDIN_FILENO, MAX_KNOWN_LINE);
  const char *line, *tab;
  uint32_t uid;

  while ((line = i_stream_read_next_line(input)) != NULL) {
    tab = strchr(line, '\t');
    if (tab == NULL || str_to_uint32(tab + 1, &uid) < 0)
      continue;
    hash_table_update(ctx->known, p_strdup_until(ctx->ctx.pool, line, tab), POINTER_CAST(uid));
  }
  i_stream_unref(&input);
}

static void send_line(struct rows_context* ctx, string_t* line) {
  str_append_c(line, '\n');
  if (fwrite(str_data(line), 1, str_len(line), stdout) != str_len(line))
    ctx->failed = TRUE; /* nobody reads it any more */
}

static void box_failed(struct rows_context* ctx, struct mailbox* box) {
  e_error(box->event, "lbox migrate-rows: %s", mailbox_get_last_internal_error(box, NULL));
  doveadm_mail_failed_mailbox(&ctx->ctx, box);
  ctx->failed = TRUE;
}

static int compare_keywords(const char* const* a, const char* const* b) {
  return strcmp(*a, *b);
}

static void append_keywords(string_t* line, struct mail* mail) {
  const char* const* keywords = mail_get_keywords(mail);
  ARRAY_TYPE(const_string) sorted;
  const char* keyword;

  t_array_init(&sorted, 8);
  for (; *keywords != NULL; keywords++)
    array_push_back(&sorted, keywords);
  array_sort(&sorted, compare_keywords);
  array_foreach_elem(&sorted, keyword) {
    str_append(line, keyword);
    str_append_c(line, ' ');
  }
}

/* Size and hash of a message with CRLF line ends; a bare CR at its very end is left out: dsync
   drops it. */
static int append_body(string_t* line, struct mail* mail) {
  struct istream *input, *crlf;
  XXH3_state_t* state;
  const unsigned char* data;
  XXH128_canonical_t hash;
  uoff_t total = 0;
  size_t size;
  bool cr = FALSE;
  int ret;

  if (mail_get_stream(mail, NULL, NULL, &input) < 0)
    return -1;
  crlf = i_stream_create_crlf(input);
  state = XXH3_createState();
  (void)XXH3_128bits_reset(state);
  while ((ret = i_stream_read_more(crlf, &data, &size)) > 0) {
    if (cr)
      (void)XXH3_128bits_update(state, "\r", 1);
    cr = data[size - 1] == '\r';
    (void)XXH3_128bits_update(state, data, size - (cr ? 1 : 0));
    total += size;
    i_stream_skip(crlf, size);
  }
  if (crlf->stream_errno != 0) {
    e_error(mail_event(mail), "read(%s) failed: %s", i_stream_get_name(crlf),
            i_stream_get_error(crlf));
    ret = -1;
  } else {
    ret = 0;
  }
  XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(state));
  (void)XXH3_freeState(state);
  i_stream_unref(&crlf);
  str_printfa(line, "\t%" PRIuUOFF_T "\t", total - (cr ? 1 : 0));
  for (size = 0; size < sizeof(hash.digest); size++)
    str_printfa(line, "%02x", hash.digest[size]);
  return ret;
}

static int print_mail(struct rows_context* ctx, struct mail* mail, uint32_t known_uid) {
  string_t* line = t_str_new(256);
  const char *guid, *uidl;
  time_t date;

  if (mail_get_special(mail, MAIL_FETCH_GUID, &guid) < 0 ||
      mail_get_special(mail, MAIL_FETCH_UIDL_BACKEND, &uidl) < 0 ||
      mail_get_received_date(mail, &date) < 0)
    return -1;
  str_printfa(line, "M\t%u\t", mail->uid);
  str_append_tabescaped(line, guid);
  str_append_c(line, '\t');
  str_append_tabescaped(line, uidl);
  str_printfa(line, "\t%lld\t%x\t", (long long)date, mail_get_flags(mail) & MAIL_FLAGS_NONRECENT);
  append_keywords(line, mail);
  if (mail->uid <= known_uid)
    str_append(line, "\t-\t-");
  else if (append_body(line, mail) < 0)
    return -1;
  send_line(ctx, line);
  return 0;
}

static int print_mails(struct rows_context* ctx, struct mailbox* box, uint32_t known_uid) {
  const enum mail_fetch_field fields =
      MAIL_FETCH_FLAGS | MAIL_FETCH_RECEIVED_DATE | MAIL_FETCH_GUID | MAIL_FETCH_UIDL_BACKEND;
  struct mail_search_args* args = mail_search_build_init();
  struct mailbox_transaction_context* trans;
  struct mail_search_context* search;
  struct mail* mail;
  enum mail_error error;
  int ret = 0;

  mail_search_build_add_all(args);
  trans = mailbox_transaction_begin(box, 0, "lbox migrate-rows");
  search = mailbox_search_init(trans, args, NULL, fields, NULL);
  mail_search_args_unref(&args);
  while (ret == 0 && mailbox_search_next(search, &mail)) {
    T_BEGIN {
      ret = print_mail(ctx, mail, known_uid);
    }
    T_END;
    if (ret < 0) {
      const char* text = mailbox_get_last_internal_error(box, &error);

      if (mail->expunged || error == MAIL_ERROR_EXPUNGED)
        ret = 0; /* meanwhile */
      else
        e_error(mail_event(mail), "lbox migrate-rows: %s", text);
    }
    if (ctx->failed || doveadm_is_killed())
      ret = -1;
  }
  if (mailbox_search_deinit(&search) < 0)
    ret = -1;
  (void)mailbox_transaction_commit(&trans);
  return ret;
}

static int print_opened(struct rows_context* ctx, struct mailbox* box) {
  struct mailbox_status status;
  struct mailbox_metadata metadata;
  string_t* line = t_str_new(256);
  const char* guid;

  if (mailbox_open(box) < 0 || mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) < 0 ||
      mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0)
    return -1;
  mailbox_get_open_status(box, STATUS_UIDVALIDITY | STATUS_UIDNEXT | STATUS_MESSAGES, &status);
  guid = guid_128_to_string(metadata.guid);
  str_append(line, "B\t");
  str_append_tabescaped(line, mailbox_get_vname(box));
  str_printfa(line, "\t%s\t%u\t%u\t%u", guid, status.uidvalidity, status.uidnext, status.messages);
  send_line(ctx, line);
  if (!ctx->messages)
    return 0;
  return print_mails(ctx, box, POINTER_CAST_TO(hash_table_lookup(ctx->known, guid), uint32_t));
}

static void print_box(struct rows_context* ctx, struct mail_namespace* ns, const char* vname) {
  struct mailbox* box =
      mailbox_alloc(ns->list, vname, MAILBOX_FLAG_READONLY | MAILBOX_FLAG_IGNORE_ACLS);
  enum mailbox_existence existence = MAILBOX_EXISTENCE_NONE;
  enum mail_error error;

  /* One that is only there because it would be made when it is used is not. */
  if (!box->inbox_user && mailbox_exists(box, FALSE, &existence) < 0) {
    box_failed(ctx, box);
  } else if ((box->inbox_user || existence == MAILBOX_EXISTENCE_SELECT) &&
             print_opened(ctx, box) < 0) {
    (void)mailbox_get_last_internal_error(box, &error);
    if (error != MAIL_ERROR_NOTFOUND)
      box_failed(ctx, box);
  }
  mailbox_free(&box);
}

static bool is_wanted(const struct mail_namespace* ns, const struct mail_namespace* inbox) {
  return ns->type == MAIL_NAMESPACE_TYPE_PRIVATE && ns->alias_for == NULL && ns->storage != NULL &&
         strcmp(ns->storage->name, inbox->storage->name) == 0;
}

struct box_name {
  struct mail_namespace* ns;
  const char* vname;
};
ARRAY_DEFINE_TYPE(box_name, struct box_name);

static int compare_names(const struct box_name* a, const struct box_name* b) {
  return strcmp(a->vname, b->vname);
}

/* Names that LIST, or with `subscribed` LSUB, gives of a namespace. */
static void add_names(struct rows_context* ctx, struct mail_namespace* ns, bool subscribed,
                      ARRAY_TYPE(box_name) * names) {
  const enum mailbox_list_iter_flags flags =
      subscribed ? MAILBOX_LIST_ITER_SELECT_SUBSCRIBED | MAILBOX_LIST_ITER_RETURN_NO_FLAGS : 0;
  struct mailbox_list_iterate_context* iter = mailbox_list_iter_init(ns->list, "*", flags);
  const struct mailbox_info* info;
  struct box_name* name;

  while ((info = mailbox_list_iter_next(iter)) != NULL) {
    if (!subscribed && (info->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT)) != 0)
      continue;
    name = array_append_space(names);
    name->ns = ns;
    name->vname = p_strdup(ctx->ctx.pool, info->vname);
  }
  if (mailbox_list_iter_deinit(&iter) < 0) {
    doveadm_mail_failed_list(&ctx->ctx, ns->list);
    ctx->failed = TRUE;
  }
}

static void get_names(struct rows_context* ctx, struct mail_user* user, bool subscribed,
                      ARRAY_TYPE(box_name) * names) {
  const struct mail_namespace* inbox = mail_namespace_find_inbox(user->namespaces);
  struct mail_namespace* ns;

  p_array_init(names, ctx->ctx.pool, 64);
  for (ns = user->namespaces; ns != NULL; ns = ns->next) {
    if (is_wanted(ns, inbox))
      add_names(ctx, ns, subscribed, names);
  }
  array_sort(names, compare_names);
}

static void print_user(struct rows_context* ctx, struct mail_user* user) {
  const struct mail_namespace* inbox = mail_namespace_find_inbox(user->namespaces);
  string_t* line = t_str_new(256);
  const char* home;

  if (mail_user_get_home(user, &home) <= 0)
    home = "";
  str_printfa(line, "U\t%s\t%s\t", dec2str(geteuid()), dec2str(getegid()));
  str_append_tabescaped(line, home);
  str_printfa(line, "\t%s\t", inbox->storage->name);
  str_append_tabescaped(line,
                        mailbox_list_get_root_forced(inbox->list, MAILBOX_LIST_PATH_TYPE_DIR));
  send_line(ctx, line);
}

static void print_boxes(struct rows_context* ctx, struct mail_user* user) {
  ARRAY_TYPE(box_name) names;
  const struct box_name* name;

  get_names(ctx, user, FALSE, &names);
  array_foreach(&names, name) {
    T_BEGIN {
      print_box(ctx, name->ns, name->vname);
    }
    T_END;
    if (doveadm_is_killed())
      return;
  }
  get_names(ctx, user, TRUE, &names);
  array_foreach(&names, name) {
    T_BEGIN {
      string_t* line = t_str_new(128);

      str_append(line, "S\t");
      str_append_tabescaped(line, name->vname);
      send_line(ctx, line);
    }
    T_END;
  }
}

static int cmd_migrate_rows_run(struct doveadm_mail_cmd_context* _ctx, struct mail_user* user) {
  struct rows_context* ctx = container_of(_ctx, struct rows_context, ctx);
  const char* what = "all";
  string_t* line = t_str_new(16);

  (void)doveadm_cmd_param_str(_ctx->cctx, "print", &what);
  ctx->boxes = strcmp(what, "user") != 0;
  ctx->messages = ctx->boxes && strcmp(what, "boxes") != 0;
  hash_table_create(&ctx->known, _ctx->pool, 0, str_hash, strcmp);
  if (strcmp(what, "new") == 0)
    read_known(ctx);
  print_user(ctx, user);
  if (ctx->boxes)
    print_boxes(ctx, user);
  if (!ctx->failed && !doveadm_is_killed()) {
    str_append_c(line, 'E');
    send_line(ctx, line);
  }
  if (fflush(stdout) != 0)
    ctx->failed = TRUE;
  hash_table_destroy(&ctx->known);
  if (ctx->failed && _ctx->exit_code == 0)
    doveadm_mail_failed_error(_ctx, MAIL_ERROR_TEMP);
  return ctx->failed ? -1 : 0;
}

struct doveadm_mail_cmd_context* cmd_lbox_migrate_rows_alloc(void) {
  struct rows_context* ctx = doveadm_mail_cmd_alloc(struct rows_context);

  ctx->ctx.v.run = cmd_migrate_rows_run;
  doveadm_lbox_accept_options(&ctx->ctx, "w:");
  doveadm_print_init(DOVEADM_PRINT_TYPE_FLOW);
  return &ctx->ctx;
}

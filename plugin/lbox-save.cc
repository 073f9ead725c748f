#include "plugin/lbox-save.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugin/guard.h"
#include "plugin/keyword-sets.h"
#include "plugin/lbox-streams.h"
#include "plugin/lbox-sync.h"

namespace {

struct Saving {
  uint32_t seq = 0;
  std::unique_ptr<lbox::StagedBody> staged;  // null: a copy
  lbox_mailbox_state::Sizes copied{};        // of a copy
  lbox::NewMessage message;
};

// Dovecot's part first: it passes pointers to it.
struct SaveContext {
  struct mail_save_context ctx {};
  struct lbox_mailbox* mbox = nullptr;
  std::vector<Saving> mails;
  // The message coming in.
  std::unique_ptr<lbox::BodyWriter> writer;
  struct istream* input = nullptr;
  struct ostream* output = nullptr;
  uint32_t seq = 0;
  bool failed = false;
  bool finished = true;
  // The commit under way.
  struct lbox_sync_context* sync = nullptr;
};

SaveContext* from(struct mail_save_context* ctx) {
  return reinterpret_cast<SaveContext*>(ctx);
}

void add_to_index(SaveContext* ctx) {
  struct mail_save_data* data = &ctx->ctx.data;
  struct mail_index_transaction* trans = ctx->ctx.transaction->itrans;
  mail_index_append(trans, data->uid, &ctx->seq);
  mail_index_update_flags(trans, ctx->seq, MODIFY_REPLACE,
                          static_cast<enum mail_flags>(data->flags & ~MAIL_RECENT));
  if (data->keywords != nullptr) {
    mail_index_update_keywords(trans, ctx->seq, MODIFY_REPLACE, data->keywords);
  }
  if (data->min_modseq != 0) {
    mail_index_update_modseq(trans, ctx->seq, data->min_modseq);
  }
}

lbox::Cause cause_of(const SaveContext* ctx) {
  const struct mailbox* box = &ctx->mbox->box;
  if (ctx->ctx.copying_or_moving) {
    return lbox::Cause::kCopy;
  }
  if ((ctx->ctx.transaction->flags & MAILBOX_TRANSACTION_FLAG_SYNC) != 0) {
    return lbox::Cause::kImport;
  }
  // Only delivery opens mailboxes for saving alone.
  return (box->flags & MAILBOX_FLAG_SAVEONLY) != 0 ? lbox::Cause::kDelivered : lbox::Cause::kImap;
}

void set_guid(lbox::NewMessage* message, const char* guid) {
  guid_128_t bytes;
  if (guid == nullptr) {
    guid_128_generate(bytes);
  } else {
    mail_generate_guid_128_hash(guid, bytes);
  }
  message->guid = lbox_guid_from(bytes);
  // Anything but the 32 digits that give the same GUID back is kept as it is.
  if (guid != nullptr && lbox::ToHex(message->guid) != guid) {
    message->original_guid = guid;
  }
}

// What both saved and copied messages take from Dovecot's save data.
void fill_message(const SaveContext* ctx, lbox::NewMessage* message) {
  const struct mail_save_data* data = &ctx->ctx.data;
  message->wanted_uid = data->uid;
  message->saved = static_cast<uint32_t>(
      data->save_date != static_cast<time_t>(-1) ? data->save_date : ioloop_time);
  message->flags = static_cast<uint8_t>(data->flags & MAIL_FLAGS_NONRECENT);
  message->keywords = lbox_keyword_names(ctx->mbox->box.index, data->keywords);
  if (data->pop3_uidl != nullptr) {
    message->pop3_uidl = data->pop3_uidl;
  }
  if (data->pop3_order != 0) {
    message->pop3_order = data->pop3_order;
  }
  message->cause = cause_of(ctx);
}

int finish_output(SaveContext* ctx) {
  struct mail_save_data* data = &ctx->ctx.data;
  if (lbox_ostream_start(ctx->output, data->output != ctx->output) < 0) {
    return -1;
  }
  int ret = 0;
  if (data->output != ctx->output) {
    // A plugin's stream in front of ours: let it write its trailer.
    ret = o_stream_finish(data->output);
    o_stream_ref(ctx->output);
    if (ret < 0 && lbox_ostream_status(ctx->output).ok()) {
      mail_set_critical(ctx->ctx.dest_mail, "write(%s) failed: %s", o_stream_get_name(data->output),
                        o_stream_get_error(data->output));
    }
    o_stream_destroy(&data->output);
    data->output = ctx->output;
  } else {
    ret = o_stream_finish(data->output);
  }
  return ret < 0 ? -1 : 0;
}

int stage(SaveContext* ctx) {
  struct mail_save_data* data = &ctx->ctx.data;
  struct mail* dest_mail = ctx->ctx.dest_mail;
  uoff_t virtual_size = 0;
  if (mail_get_virtual_size(dest_mail, &virtual_size) < 0) {
    return -1;
  }
  auto staged = ctx->writer->Finish(ctx->input->v_offset, virtual_size);
  if (!staged.ok()) {
    return lbox_fail(ctx->mbox->box.storage, ctx->mbox->box.event, staged.status());
  }
  Saving saving;
  saving.seq = ctx->seq;
  saving.staged = std::move(*staged);
  fill_message(ctx, &saving.message);
  set_guid(&saving.message, data->guid);
  saving.message.received = data->received_date;
  ctx->mails.push_back(std::move(saving));
  return 0;
}

int finish(SaveContext* ctx) {
  ctx->finished = true;
  if (ctx->output == nullptr) {
    return -1;
  }
  if (!ctx->failed && finish_output(ctx) < 0) {
    ctx->failed = true;
  }
  if (const lbox::Status& status = lbox_ostream_status(ctx->output); !status.ok()) {
    lbox_fail(ctx->mbox->box.storage, ctx->mbox->box.event, status);
    ctx->failed = true;
  }
  if (ctx->ctx.data.save_date != static_cast<time_t>(-1)) {
    // Or Dovecot's cache would say now.
    const auto saved = static_cast<uint32_t>(ctx->ctx.data.save_date);
    index_mail_cache_add(reinterpret_cast<struct index_mail*>(ctx->ctx.dest_mail),
                         MAIL_CACHE_SAVE_DATE, &saved, sizeof(saved));
  }
  index_mail_cache_parse_deinit(ctx->ctx.dest_mail, ctx->ctx.data.received_date, !ctx->failed);
  if (!ctx->failed && stage(ctx) < 0) {
    ctx->failed = true;
  }
  if (ctx->ctx.data.output != ctx->output && ctx->ctx.data.output != nullptr) {
    o_stream_ref(ctx->output);
    o_stream_abort(ctx->ctx.data.output);
    o_stream_destroy(&ctx->ctx.data.output);
  }
  ctx->ctx.data.output = nullptr;
  o_stream_abort(ctx->output);
  o_stream_unref(&ctx->output);
  ctx->writer.reset();
  i_stream_unref(&ctx->input);
  if (ctx->failed) {
    index_storage_save_abort_last(&ctx->ctx, ctx->seq);
    return -1;
  }
  return 0;
}

void release(SaveContext* ctx) {
  if (!ctx->finished) {
    lbox_save_cancel(&ctx->ctx);
  }
  if (ctx->sync != nullptr) {
    lbox_sync_finish(&ctx->sync, false);
  }
  delete ctx;
}

int begin_save(SaveContext* ctx, struct istream* input) {
  struct mail_save_context* _ctx = &ctx->ctx;
  auto writer = lbox_store(ctx->mbox).NewBody();
  if (!writer.ok()) {
    return lbox_fail(ctx->mbox->box.storage, ctx->mbox->box.event, writer.status());
  }
  ctx->writer = std::move(*writer);
  ctx->failed = false;
  ctx->finished = false;
  add_to_index(ctx);
  mail_set_seq_saving(_ctx->dest_mail, ctx->seq);
  struct istream* converted = ctx->mbox->box.storage->set->mail_save_crlf
                                  ? i_stream_create_crlf(input)
                                  : i_stream_create_lf(input);
  ctx->input = index_mail_cache_parse_init(_ctx->dest_mail, converted);
  i_stream_unref(&converted);
  ctx->output = lbox_ostream_create(ctx->writer.get());
  o_stream_set_name(ctx->output, "lbox save");
  _ctx->data.output = ctx->output;
  if (_ctx->data.received_date == static_cast<time_t>(-1)) {
    _ctx->data.received_date = ioloop_time;
  }
  return 0;
}

// COPY within the store. Returns 1 if done, 0 if the message must be saved anew, -1 on error.
int copy_by_reference(SaveContext* ctx, struct mail* mail) {
  struct mail_save_context* _ctx = &ctx->ctx;
  if (mail->box->storage != _ctx->transaction->box->storage ||
      _ctx->transaction->box->disable_reflink_copy_to || mail->saving) {
    return 0;
  }
  struct lbox_mailbox* src = LBOX_MAILBOX(mail->box);
  if (ctx->mails.empty()) {
    src->state->rows.Clear();  // what was expunged since they were read would only fail later
  }
  const auto row = src->state->rows.Get(lbox_store(src), src->state->guid, mail->uid);
  if (!row.ok()) {
    return lbox_fail_mail(mail, row.status());
  }
  const lbox::Message& source = (*row)->message;
  const lbox::MessageExtra& extra = (*row)->extra;
  Saving saving;
  saving.copied = {source.physical_size, source.virtual_size};
  lbox::NewMessage& message = saving.message;
  message.pop3_uidl = extra.pop3_uidl;
  message.pop3_order = extra.pop3_order;
  fill_message(ctx, &message);
  message.source_mailbox = src->state->guid;
  message.source_uid = mail->uid;
  if (_ctx->data.guid != nullptr) {
    set_guid(&message, _ctx->data.guid);
  } else {
    message.guid = source.guid;
    message.original_guid = extra.original_guid;
  }
  message.received = _ctx->data.received_date != static_cast<time_t>(-1) ? _ctx->data.received_date
                                                                         : source.received;
  add_to_index(ctx);
  saving.seq = ctx->seq;
  index_copy_cache_fields(_ctx, mail, ctx->seq);
  mail_set_seq_saving(_ctx->dest_mail, ctx->seq);
  ctx->mails.push_back(std::move(saving));
  return 1;
}

// Saves in the store, once the index is in step with it. Where processes share no index they may be
// changing the mailbox all the time: the last attempt does not insist.
lbox::Result<lbox::SaveResult> save_in_step(SaveContext* ctx,
                                            std::vector<lbox::NewMessage>* messages,
                                            bool* begun_r) {
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    uint64_t change = 0;
    *begun_r = lbox_sync_begin_save(ctx->mbox, &ctx->sync, &change) == 0;
    if (!*begun_r) {
      return lbox::Status(lbox::Code::kAborted, "");
    }
    const auto expected = attempt < kAttempts ? std::optional(change) : std::nullopt;
    auto saved = lbox_store(ctx->mbox).Save(ctx->mbox->state->guid,
                                            mail_index_get_header(ctx->sync->view)->next_uid,
                                            *messages, ctx->sync->changes, expected);
    if (saved.ok() || saved.status().code() != lbox::Code::kAborted || attempt == kAttempts) {
      return saved;
    }
    lbox_sync_finish(&ctx->sync, false);
  }
}

int commit_pre(SaveContext* ctx) {
  struct mailbox_transaction_context* t = ctx->ctx.transaction;
  struct mailbox* box = &ctx->mbox->box;
  std::vector<lbox::NewMessage> messages;
  messages.reserve(ctx->mails.size());
  for (Saving& saving : ctx->mails) {
    saving.message.staged = saving.staged.get();
    messages.push_back(saving.message);
  }
  // Durable after this: every message of the transaction.
  bool begun = false;
  const auto saved = save_in_step(ctx, &messages, &begun);
  if (!saved.ok()) {
    return begun ? lbox_fail(box->storage, box->event, saved.status()) : -1;
  }
  if (!messages.empty()) {
    mail_index_append_finish_uids(t->itrans, saved->first_uid, &t->changes->saved_uids);
  }
  lbox_sync_applied(ctx->sync);
  lbox_mailbox_write_header(ctx->mbox, t->itrans, saved->change);
  t->changes->uid_validity = mail_index_get_header(ctx->sync->view)->uid_validity;
  return 0;
}

}  // namespace

bool lbox_save_lookup(struct mailbox_transaction_context* t, uint32_t seq,
                      struct lbox_saving_mail* mail_r) {
  if (t->save_ctx == nullptr) {
    return false;
  }
  SaveContext* ctx = from(t->save_ctx);
  const auto it =
      std::lower_bound(ctx->mails.begin(), ctx->mails.end(), seq,
                       [](const Saving& saving, uint32_t value) { return saving.seq < value; });
  if (it == ctx->mails.end() || it->seq != seq) {
    return false;
  }
  mail_r->message = &it->message;
  mail_r->staged = it->staged.get();
  mail_r->sizes = it->staged == nullptr ? it->copied
                                        : lbox_mailbox_state::Sizes{
                                              static_cast<uint32_t>(it->staged->physical_size()),
                                              static_cast<uint32_t>(it->staged->virtual_size())};
  return true;
}

struct mail_save_context* lbox_save_alloc(struct mailbox_transaction_context* t) noexcept {
  i_assert((t->flags & MAILBOX_TRANSACTION_FLAG_EXTERNAL) != 0);
  if (t->save_ctx == nullptr) {
    auto* ctx = new SaveContext;
    ctx->mbox = LBOX_MAILBOX(t->box);
    ctx->ctx.transaction = t;
    t->save_ctx = &ctx->ctx;
  }
  return t->save_ctx;
}

int lbox_save_begin(struct mail_save_context* _ctx, struct istream* input) noexcept {
  return lbox_guard(_ctx->transaction->box->storage, -1,
                    [&] { return begin_save(from(_ctx), input); });
}

int lbox_save_continue(struct mail_save_context* _ctx) noexcept {
  return lbox_guard(_ctx->transaction->box->storage, -1, [&] {
    SaveContext* ctx = from(_ctx);
    if (ctx->failed) {
      return -1;
    }
    if (lbox_ostream_start(ctx->output, _ctx->data.output != ctx->output) < 0 ||
        index_storage_save_continue(_ctx, ctx->input, _ctx->dest_mail) < 0) {
      if (const lbox::Status& status = lbox_ostream_status(ctx->output); !status.ok()) {
        lbox_fail(ctx->mbox->box.storage, ctx->mbox->box.event, status);
      }
      ctx->failed = true;
      return -1;
    }
    return 0;
  });
}

int lbox_save_finish(struct mail_save_context* _ctx) noexcept {
  const int ret =
      lbox_guard(_ctx->transaction->box->storage, -1, [&] { return finish(from(_ctx)); });
  index_save_context_free(_ctx);
  return ret;
}

void lbox_save_cancel(struct mail_save_context* _ctx) noexcept {
  from(_ctx)->failed = true;
  (void)lbox_save_finish(_ctx);
}

int lbox_copy(struct mail_save_context* _ctx, struct mail* mail) noexcept {
  const int ret = lbox_guard(_ctx->transaction->box->storage, -1,
                             [&] { return copy_by_reference(from(_ctx), mail); });
  if (ret == 0) {
    return mail_storage_copy(_ctx, mail);
  }
  index_save_context_free(_ctx);
  return ret > 0 ? 0 : -1;
}

int lbox_transaction_save_commit_pre(struct mail_save_context* _ctx) noexcept {
  SaveContext* ctx = from(_ctx);
  i_assert(ctx->finished);
  const int ret = lbox_guard(_ctx->transaction->box->storage, -1, [&] { return commit_pre(ctx); });
  if (ret < 0) {
    release(ctx);
  }
  return ret;
}

void lbox_transaction_save_commit_post(
    struct mail_save_context* _ctx, struct mail_index_transaction_commit_result* result) noexcept {
  SaveContext* ctx = from(_ctx);
  _ctx->transaction = nullptr;  // freed already
  mail_index_sync_set_commit_result(ctx->sync->index_sync, result);
  lbox_guard(ctx->mbox->box.storage, 0, [&] {
    // A failure here is repaired by the next sync: the store has everything.
    (void)lbox_sync_finish(&ctx->sync, true);
    return 0;
  });
  release(ctx);
}

void lbox_transaction_save_rollback(struct mail_save_context* _ctx) noexcept {
  release(from(_ctx));
}

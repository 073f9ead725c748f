#include "plugin/lbox-sync.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "plugin/guard.h"
#include "plugin/lbox-repair.h"
#include "plugin/reconcile.h"

namespace {

// Modseqs that the store sets aside at once: the index may show them without another commit
// (docs/design.md).
constexpr uint64_t kModseqStep = 1000;
// mail_fsync=optimized: flag changes reach the store within this time (a power cut may lose them, a
// killed process does not).
constexpr int64_t kFlagsDelayMs = 1000;
// IMAP's EXPUNGE commits every so many messages (IMAP_EXPUNGE_BATCH_SIZE of 2.3,
// MAIL_EXPUNGE_BATCH_SIZE of 2.4), then syncs before it answers: the store gets them together.
constexpr uint32_t kExpungesOfABatch = 1000;
constexpr int kBeginAttempts = 2;
constexpr int kSaveAttempts = 5;

using Kind = lbox::Change::Kind;

bool fsync_always(struct mailbox* box) {
  return box->storage->set->parsed_fsync_mode == FSYNC_MODE_ALWAYS;
}

void read_expunge(struct lbox_sync_context* ctx, const struct mail_index_sync_rec& rec) {
  uint32_t seq1 = 0;
  uint32_t seq2 = 0;
  lbox::Change change;
  change.kind = Kind::kExpunge;
  change.uid1 = rec.uid1;
  change.uid2 = rec.uid2;
  ctx->changes.push_back(change);
  if (mail_index_lookup_seq_range(ctx->view, rec.uid1, rec.uid2, &seq1, &seq2)) {
    for (uint32_t seq = seq1; seq <= seq2; ++seq) {
      uint32_t uid = 0;
      mail_index_lookup_uid(ctx->view, seq, &uid);
      ctx->expunged_uids.push_back(uid);
    }
  }
}

void read_records(struct lbox_sync_context* ctx) {
  struct mail_index_sync_rec rec;
  const ARRAY_TYPE(keywords)* keywords = mail_index_get_keywords(ctx->mbox->box.index);
  while (mail_index_sync_next(ctx->index_sync, &rec)) {
    lbox::Change change;
    change.uid1 = rec.uid1;
    change.uid2 = rec.uid2;
    switch (rec.type) {
      case MAIL_INDEX_SYNC_TYPE_EXPUNGE:
        read_expunge(ctx, rec);
        break;
      case MAIL_INDEX_SYNC_TYPE_FLAGS:
        change.kind = Kind::kFlags;
        change.add_flags = rec.add_flags & MAIL_FLAGS_NONRECENT;
        change.remove_flags = rec.remove_flags & MAIL_FLAGS_NONRECENT;
        if (change.add_flags != 0 || change.remove_flags != 0) {
          ctx->changes.push_back(change);
        }
        break;
      case MAIL_INDEX_SYNC_TYPE_KEYWORD_ADD:
      case MAIL_INDEX_SYNC_TYPE_KEYWORD_REMOVE:
        change.kind =
            rec.type == MAIL_INDEX_SYNC_TYPE_KEYWORD_ADD ? Kind::kKeywordAdd : Kind::kKeywordRemove;
        change.text = *array_idx(keywords, rec.keyword_idx);
        ctx->changes.push_back(std::move(change));
        break;
      default:
        break;
    }
  }
  std::sort(ctx->expunged_uids.begin(), ctx->expunged_uids.end());
  ctx->expunged_uids.erase(std::unique(ctx->expunged_uids.begin(), ctx->expunged_uids.end()),
                           ctx->expunged_uids.end());
}

// A session that drops \Recent has to remember itself what it was the first to see: committing the
// sync raises first_recent_uid.
void mark_recent(struct lbox_sync_context* ctx) {
  const struct mail_index_header* hdr = mail_index_get_header(ctx->view);
  uint32_t seq1 = 0;
  uint32_t seq2 = 0;
  if (mail_index_lookup_seq_range(ctx->view, hdr->first_recent_uid, hdr->next_uid, &seq1, &seq2)) {
    mailbox_recent_flags_set_seqs(&ctx->mbox->box, ctx->view, seq1, seq2);
  }
}

// Returns 1 with *ctx_r, 0 if there is nothing to do, -1 on error.
int begin(struct lbox_mailbox* mbox, bool force, struct lbox_sync_context** ctx_r) {
  struct mailbox* box = &mbox->box;
  auto ctx = std::make_unique<lbox_sync_context>();
  ctx->mbox = mbox;
  int flags = index_storage_get_sync_flags(box) | MAIL_INDEX_SYNC_FLAG_AVOID_FLAG_UPDATES;
  if (!force) {
    flags |= MAIL_INDEX_SYNC_FLAG_REQUIRE_CHANGES;
  }
  int ret = -1;
  // A damaged log, as a power cut leaves it, is noticed by failing; then Dovecot goes on without
  // it.
  for (int attempt = 0; ret < 0 && attempt < kBeginAttempts; ++attempt) {
    ret = index_storage_expunged_sync_begin(box, &ctx->index_sync, &ctx->view, &ctx->trans,
                                            static_cast<enum mail_index_sync_flags>(flags));
  }
  if (ret <= 0) {
    index_storage_expunging_deinit(box);
    return ret;
  }
  mark_recent(ctx.get());
  read_records(ctx.get());
  *ctx_r = ctx.release();
  return 1;
}

// The mailbox's row; a missing one means that another process deleted the mailbox. Returns 0 or -1.
int get_info(struct lbox_mailbox* mbox, lbox::MailboxInfo* info_r) {
  auto info = lbox_store(mbox).GetMailbox(mbox->state->guid);
  if (!info.ok()) {
    if (info.status().code() == lbox::Code::kNotFound) {
      mailbox_set_deleted(&mbox->box);
      return -1;
    }
    return lbox_fail(mbox->box.storage, mbox->box.event, info.status());
  }
  *info_r = std::move(*info);
  return 0;
}

// Messages came and went without this index: it kept neither, for its log got lost. Returns 1, 0,
// or -1 on error.
int missed_removals(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info) {
  const uint32_t next_uid = mail_index_get_header(ctx->view)->next_uid;
  if (mail_index_get_header(ctx->view)->uid_validity == 0 || next_uid >= info.next_uid) {
    return 0;
  }
  uint32_t there = 0;
  const lbox::Status status = lbox_store(ctx->mbox).Scan(
      info.guid, next_uid, info.next_uid - 1, [&](const lbox::Message&, const lbox::MessageExtra*) {
        ++there;
        return true;
      });
  if (!status.ok()) {
    return lbox_fail(ctx->mbox->box.storage, ctx->mbox->box.event, status);
  }
  return there < info.next_uid - next_uid ? 1 : 0;
}

// An index with another UIDVALIDITY mirrors some other mailbox; one that missed removals cannot
// tell a QRESYNC client of them. Emptied, it is filled as a fresh one.
int reset_index(struct lbox_sync_context* ctx) {
  struct mail_index_transaction* trans =
      mail_index_transaction_begin(ctx->view, MAIL_INDEX_TRANSACTION_FLAG_EXTERNAL);
  mail_index_reset(trans);
  if (mail_index_transaction_commit(&trans) < 0) {
    mailbox_set_index_error(&ctx->mbox->box);
    return -1;
  }
  mailbox_recent_flags_reset(&ctx->mbox->box);
  return 0;
}

int reserve_modseqs(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info) {
  const uint64_t highest = std::max(mail_index_modseq_get_highest(ctx->view), uint64_t{1});
  if (highest + kModseqStep / 2 <= info.modseq_ceiling) {
    return 0;
  }
  lbox::MailboxUpdate update;
  update.min_modseq_ceiling = highest + kModseqStep;
  const lbox::Status status = lbox_store(ctx->mbox).UpdateMailbox(info.guid, update);
  return status.ok() ? 0 : lbox_fail(ctx->mbox->box.storage, ctx->mbox->box.event, status);
}

// Applies and reconciles as needed. Returns 1 when done, 0 when the sync must be begun again, -1 on
// error.
int run(struct lbox_sync_context* ctx, bool reconcile) {
  struct lbox_mailbox* mbox = ctx->mbox;
  struct mailbox* box = &mbox->box;
  mbox->state->rows.Clear();
  lbox::MailboxInfo info;
  if (get_info(mbox, &info) < 0) {
    return -1;
  }
  const uint32_t uid_validity = mail_index_get_header(ctx->view)->uid_validity;
  if (uid_validity != 0 && uid_validity != info.uid_validity) {
    return reset_index(ctx);
  }
  const bool behind = !lbox_sync_in_step(mbox, ctx->view, info);
  if (behind && lbox_reconcile_raise_modseq(ctx, info) < 0) {
    return -1;
  }
  uint64_t change = info.change;
  if (!ctx->changes.empty()) {
    lbox_sync_remember_sizes(ctx);
    const auto applied = lbox_store(mbox).Apply(info.guid, ctx->changes);
    if (!applied.ok()) {
      return lbox_fail(box->storage, box->event, applied.status());
    }
    change = applied->change;
    reconcile |= applied->before != info.change;  // see Store::Save
  }
  if (behind || reconcile) {
    if (get_info(mbox, &info) < 0) {
      return -1;
    }
    if (const int missed = missed_removals(ctx, info); missed != 0) {
      return missed < 0 ? -1 : reset_index(ctx);
    }
    if (lbox_reconcile(ctx, &info) < 0) {
      return -1;
    }
    change = info.change;
  }
  lbox_sync_applied(ctx);
  struct lbox_index_header hdr;
  if (!lbox_mailbox_read_header(mbox, ctx->view, &hdr) || hdr.change != change ||
      lbox_guid_from(hdr.mailbox_guid) != mbox->state->guid) {
    lbox_mailbox_write_header(mbox, ctx->trans, change);
  }
  if (reserve_modseqs(ctx, info) < 0) {
    return -1;
  }
  const uint32_t next_uid = std::max(mail_index_get_header(ctx->view)->next_uid, info.next_uid);
  if ((box->flags & MAILBOX_FLAG_DROP_RECENT) != 0 && next_uid > info.first_recent_uid) {
    mbox->state->pending_first_recent_uid = next_uid;
  }
  return 1;
}

// True when the counters say that the index lags behind the store although its log holds nothing to
// apply.
int lags(struct lbox_mailbox* mbox, bool* lags_r) {
  lbox::MailboxInfo info;
  if (get_info(mbox, &info) < 0) {
    return -1;
  }
  struct mail_index_view* view = mail_index_view_open(mbox->box.index);
  *lags_r = !lbox_sync_in_step(mbox, view, info);
  mail_index_view_close(&view);
  return 0;
}

// UIDs that `changes` may touch.
uint64_t span(const std::vector<lbox::Change>& changes) {
  uint64_t sum = 0;
  for (const lbox::Change& change : changes) {
    sum += uint64_t{change.uid2} - change.uid1 + 1;
  }
  return sum;
}

bool may_defer_flags(struct lbox_mailbox* mbox, enum mailbox_sync_flags flags) {
  return mbox->state->flags_pending_since != 0 && !mbox->state->expunges_pending &&
         (flags & MAILBOX_SYNC_FLAG_FORCE_RESYNC) == 0 &&
         lbox_monotonic_ms() - mbox->state->flags_pending_since < kFlagsDelayMs &&
         !fsync_always(&mbox->box);
}

}  // namespace

bool lbox_sync_in_step(struct lbox_mailbox* mbox, struct mail_index_view* view,
                       const lbox::MailboxInfo& info) {
  struct lbox_index_header hdr;
  return lbox_mailbox_read_header(mbox, view, &hdr) &&
         lbox_guid_from(hdr.mailbox_guid) == info.guid && hdr.change == info.change &&
         mail_index_get_header(view)->uid_validity == info.uid_validity;
}

int lbox_sync(struct lbox_mailbox* mbox, enum lbox_sync_flags flags) {
  bool force = flags != LBOX_SYNC_NONE;
  const bool reconcile = (flags & LBOX_SYNC_RECONCILE) != 0;
  for (int attempt = 0; attempt < kSaveAttempts; ++attempt) {
    struct lbox_sync_context* ctx = nullptr;
    int ret = begin(mbox, force, &ctx);
    if (ret < 0) {
      return -1;
    }
    if (ret == 0) {
      bool behind = false;
      if (lags(mbox, &behind) < 0) {
        return -1;
      }
      if (!behind) {
        mbox->state->flags_pending_since = 0;
        mbox->state->expunges_pending = false;
        return 0;
      }
      force =
          true;  // perhaps another process is just between store and index: the lock waits for it
      continue;
    }
    ret = run(ctx, reconcile);
    if (lbox_sync_finish(&ctx, ret > 0) < 0 || ret < 0) {
      return -1;
    }
    if (ret > 0) {
      mbox->state->flags_pending_since = 0;
      mbox->state->expunges_pending = false;
      lbox_storage_schedule_upkeep(mbox->storage);
      return 0;
    }
    force = true;
  }
  mailbox_set_critical(
      &mbox->box, "lbox: index cannot be brought in step with the store: run doveadm force-resync");
  return -1;
}

void lbox_sync_pending_flags(struct lbox_mailbox* mbox) {
  struct mailbox* box = &mbox->box;
  if (!box->opened || box->mailbox_deleted || mail_index_is_deleted(box->index)) {
    return;
  }
  if (mbox->state->flags_pending_since != 0 && lbox_sync(mbox, LBOX_SYNC_NONE) < 0) {
    e_error(box->event, "lbox: flag changes stay in dovecot.index.log: %s",
            mailbox_get_last_internal_error(box, nullptr));
  }
  if (mbox->state->pending_first_recent_uid != 0) {
    lbox::MailboxUpdate update;
    update.min_first_recent_uid = mbox->state->pending_first_recent_uid;
    mbox->state->pending_first_recent_uid = 0;
    const lbox::Status status = lbox_store(mbox).UpdateMailbox(mbox->state->guid, update);
    if (!status.ok() && status.code() != lbox::Code::kNotFound) {
      e_error(box->event, "lbox: %s", status.message().c_str());
    }
  }
}

int lbox_sync_begin_save(struct lbox_mailbox* mbox, struct lbox_sync_context** ctx_r,
                         uint64_t* change_r) {
  for (int attempt = 0; attempt < kSaveAttempts; ++attempt) {
    struct lbox_sync_context* ctx = nullptr;
    if (begin(mbox, true, &ctx) <= 0) {
      return -1;
    }
    lbox::MailboxInfo info;
    if (get_info(mbox, &info) < 0) {
      lbox_sync_finish(&ctx, false);
      return -1;
    }
    if (lbox_sync_in_step(mbox, ctx->view, info) && span(ctx->changes) <= lbox::kBatchRows) {
      if (reserve_modseqs(ctx, info) < 0) {
        lbox_sync_finish(&ctx, false);
        return -1;
      }
      lbox_sync_remember_sizes(ctx);
      *change_r = info.change;
      *ctx_r = ctx;
      return 0;
    }
    const int ret = run(ctx, false);
    if (lbox_sync_finish(&ctx, ret > 0) < 0 || ret < 0) {
      return -1;
    }
  }
  mailbox_set_critical(
      &mbox->box, "lbox: index cannot be brought in step with the store: run doveadm force-resync");
  return -1;
}

void lbox_sync_remember_sizes(struct lbox_sync_context* ctx) {
  lbox_mailbox_state& state = *ctx->mbox->state;
  for (const uint32_t uid : ctx->expunged_uids) {
    const auto row = state.rows.Get(lbox_store(ctx->mbox), state.guid, uid);
    if (row.ok()) {
      state.dying[uid] = {(*row)->message.physical_size, (*row)->message.virtual_size};
    }
  }
}

void lbox_sync_applied(struct lbox_sync_context* ctx) {
  struct mailbox* box = &ctx->mbox->box;
  for (const uint32_t uid : ctx->expunged_uids) {
    uint32_t seq = 0;
    if (mail_index_lookup_seq(ctx->view, uid, &seq)) {
      mail_index_expunge(ctx->trans, seq);
    }
  }
  box->tmp_sync_view = ctx->view;
  for (const uint32_t uid : ctx->expunged_uids) {
    mailbox_sync_notify(box, uid, MAILBOX_SYNC_TYPE_EXPUNGE);
  }
  box->tmp_sync_view = nullptr;
  mailbox_sync_notify(box, 0, static_cast<enum mailbox_sync_type>(0));
  ctx->mbox->state->dying.clear();
}

int lbox_sync_finish(struct lbox_sync_context** _ctx, bool success) {
  const std::unique_ptr<lbox_sync_context> ctx(*_ctx);
  *_ctx = nullptr;
  struct mailbox* box = &ctx->mbox->box;
  ctx->mbox->state->dying.clear();
  index_storage_expunging_deinit(box);
  if (!success) {
    mail_index_sync_rollback(&ctx->index_sync);
    return 0;
  }
  if (mail_index_sync_commit(&ctx->index_sync) < 0) {
    mailbox_set_index_error(box);
    return -1;
  }
  return 0;
}

int lbox_sync_create(struct lbox_mailbox* mbox, const lbox::MailboxCreate& create) {
  struct mailbox* box = &mbox->box;
  struct lbox_sync_context* ctx = nullptr;
  if (begin(mbox, true, &ctx) <= 0) {
    return -1;
  }
  lbox::MailboxCreate with_reserve = create;
  with_reserve.modseq_ceiling += kModseqStep;
  lbox::Store& store = lbox_store(mbox);
  lbox::Status status = store.GetMailbox(create.guid).status();
  bool existed = status.ok();
  if (status.code() == lbox::Code::kNotFound) {
    status = store.CreateMailbox(with_reserve);
    // Where indexes are in memory, no index log's lock keeps another process from being first.
    if (status.code() == lbox::Code::kInvalid && store.GetMailbox(create.guid).ok()) {
      status = lbox::Status();
      existed = true;
    }
  }
  lbox::MailboxInfo info;
  int ret = -1;
  if (!status.ok()) {
    lbox_fail(box->storage, box->event, status);
  } else if (get_info(mbox, &info) == 0 &&
             (!existed || lbox_reconcile_raise_modseq(ctx, info) == 0) &&
             lbox_reconcile(ctx, &info) == 0) {
    if (create.modseq_ceiling > 1) {
      mail_index_modseq_enable(box->index);
      mail_index_update_highest_modseq(ctx->trans, create.modseq_ceiling);
    }
    lbox_mailbox_write_header(mbox, ctx->trans, info.change);
    ret = 0;
  }
  return lbox_sync_finish(&ctx, ret == 0) < 0 ? -1 : ret;
}

int lbox_sync_update(struct lbox_mailbox* mbox, const lbox::MailboxUpdate& update,
                     uint64_t min_highest_modseq) {
  struct mailbox* box = &mbox->box;
  struct lbox_sync_context* ctx = nullptr;
  uint64_t change = 0;
  if (lbox_sync_begin_save(mbox, &ctx, &change) < 0) {
    return -1;
  }
  int ret = -1;
  mbox->state->rows.Clear();
  lbox::MailboxUpdate with_reserve = update;
  if (min_highest_modseq != 0) {
    with_reserve.min_modseq_ceiling = min_highest_modseq + kModseqStep;
  }
  lbox::Status status;
  if (!ctx->changes.empty()) {
    status = lbox_store(mbox).Apply(mbox->state->guid, ctx->changes).status();
  }
  if (status.ok()) {
    status = lbox_store(mbox).UpdateMailbox(mbox->state->guid, with_reserve);
  }
  lbox::MailboxInfo info;
  if (!status.ok()) {
    lbox_fail(box->storage, box->event, status);
  } else {
    if (update.guid.has_value()) {
      mbox->state->guid = *update.guid;
    }
    if (get_info(mbox, &info) == 0 && lbox_reconcile(ctx, &info) == 0) {
      if (min_highest_modseq != 0 &&
          mail_index_modseq_get_highest(ctx->view) < min_highest_modseq) {
        mail_index_modseq_enable(box->index);
        mail_index_update_highest_modseq(ctx->trans, min_highest_modseq);
      }
      lbox_sync_applied(ctx);
      lbox_mailbox_write_header(mbox, ctx->trans, info.change);
      ret = 0;
    }
  }
  return lbox_sync_finish(&ctx, ret == 0) < 0 ? -1 : ret;
}

extern "C" {

struct mailbox_sync_context* lbox_storage_sync_init(struct mailbox* box,
                                                    enum mailbox_sync_flags flags) noexcept {
  const int ret = lbox_guard(box->storage, -1, [&] {
    struct lbox_mailbox* mbox = LBOX_MAILBOX(box);
    if (!box->opened && mailbox_open(box) < 0) {
      return -1;
    }
    const bool resync =
        (flags & MAILBOX_SYNC_FLAG_FORCE_RESYNC) != 0 || mail_index_reset_fscked(box->index);
    if (!index_mailbox_want_full_sync(box, flags) && !resync && !mbox->state->expunges_pending) {
      return 0;
    }
    if ((flags & MAILBOX_SYNC_FLAG_FORCE_RESYNC) != 0 && lbox_repair_for_resync(mbox) < 0) {
      return -1;
    }
    if (!resync && may_defer_flags(mbox, flags)) {
      return mail_index_refresh(box->index);
    }
    return lbox_sync(mbox, resync ? LBOX_SYNC_RECONCILE : LBOX_SYNC_NONE);
  });
  return index_mailbox_sync_init(box, flags, ret < 0);
}

int lbox_transaction_commit(struct mailbox_transaction_context* t,
                            struct mail_transaction_commit_changes* changes_r) noexcept {
  struct mailbox* box = t->box;
  if (index_transaction_commit(t, changes_r) < 0) {
    return -1;
  }
  return lbox_guard(box->storage, -1, [&] {
    struct lbox_mailbox* mbox = LBOX_MAILBOX(box);
    const uint32_t expunges = mbox->state->expunges_requested;
    if (box->transaction_count <= 1) {  // this one still counts
      mbox->state->expunges_requested =
          0;  // else it may be the wish of another transaction, still to be committed
    }
    const bool flags = (changes_r->changes_mask & (MAIL_INDEX_TRANSACTION_CHANGE_FLAGS |
                                                   MAIL_INDEX_TRANSACTION_CHANGE_KEYWORDS)) != 0;
    mbox->state->expunges_pending |= expunges == kExpungesOfABatch;
    if ((expunges != 0 && expunges != kExpungesOfABatch) || (flags && fsync_always(box))) {
      return lbox_sync(mbox, LBOX_SYNC_NONE);
    }
    if ((flags || expunges != 0) && mbox->state->flags_pending_since == 0) {
      mbox->state->flags_pending_since = lbox_monotonic_ms();
      lbox_storage_schedule_flush(mbox->storage);
    }
    return 0;
  });
}

}  // extern "C"

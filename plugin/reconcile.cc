#include "plugin/reconcile.h"

#include <algorithm>
#include <cstddef>

#include "plugin/guard.h"
#include "plugin/keyword-sets.h"

namespace {

struct Row {
  lbox::Message message;
  lbox::MessageExtra extra;  // empty unless message.has_extra
};

void set_header(struct mail_index_transaction* trans, size_t offset, uint32_t value, bool prepend) {
  mail_index_update_header(trans, offset, &value, sizeof(value), prepend);
}

void update_headers(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info, bool fresh) {
  struct mailbox* box = &ctx->mbox->box;
  const struct mail_index_header* hdr = mail_index_get_header(ctx->view);
  if (hdr->uid_validity != info.uid_validity) {
    set_header(ctx->trans, offsetof(struct mail_index_header, uid_validity), info.uid_validity,
               true);
  }
  if (hdr->first_recent_uid < info.first_recent_uid) {
    set_header(ctx->trans, offsetof(struct mail_index_header, first_recent_uid),
               info.first_recent_uid, false);
  }
  if (fresh && !info.name.empty()) {
    // With mailbox_list_layout=index Dovecot takes a lost mailbox's name from here.
    mail_index_ext_resize_hdr(ctx->trans, box->box_name_hdr_ext_id, info.name.size());
    mail_index_update_header_ext(ctx->trans, box->box_name_hdr_ext_id, 0, info.name.data(),
                                 info.name.size());
  }
}

void append(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info, const Row& row,
            lbox_keyword_sets* sets) {
  uint32_t seq = 0;
  mail_index_append(ctx->trans, row.message.uid, &seq);
  mail_index_update_flags(ctx->trans, seq, MODIFY_REPLACE,
                          static_cast<enum mail_flags>(row.message.flags));
  const auto names = lbox_keyword_names(info, row.message, &row.extra);
  if (!names.empty()) {
    mail_index_update_keywords(ctx->trans, seq, MODIFY_REPLACE, sets->get(names));
  }
  if (row.message.uid >=
      std::max(mail_index_get_header(ctx->view)->first_recent_uid, info.first_recent_uid)) {
    mailbox_recent_flags_set_uid(&ctx->mbox->box, row.message.uid);
  }
}

// Flags and keywords of a message that both sides have become the store's.
void adopt_flags(struct lbox_sync_context* ctx, uint32_t seq, const lbox::MailboxInfo& info,
                 const Row& row, lbox_keyword_sets* sets) {
  const struct mail_index_record* rec = mail_index_lookup(ctx->view, seq);
  constexpr uint8_t kStored = MAIL_FLAGS_NONRECENT;
  if ((rec->flags & kStored) != (row.message.flags & kStored)) {
    mail_index_update_flags(ctx->trans, seq, MODIFY_REPLACE,
                            static_cast<enum mail_flags>(row.message.flags & kStored));
  }
  ARRAY_TYPE(keyword_indexes) indexes;
  i_array_init(&indexes, 8);
  mail_index_lookup_keywords(ctx->view, seq, &indexes);
  std::vector<std::string> have;
  const ARRAY_TYPE(keywords)* all = mail_index_get_keywords(ctx->mbox->box.index);
  for (unsigned int i = 0; i < array_count(&indexes); ++i) {
    have.emplace_back(*array_idx(all, *array_idx(&indexes, i)));
  }
  array_free(&indexes);
  auto want = lbox_keyword_names(info, row.message, &row.extra);
  auto sorted = want;
  std::sort(sorted.begin(), sorted.end());
  std::sort(have.begin(), have.end());
  if (sorted != have) {
    mail_index_update_keywords(ctx->trans, seq, MODIFY_REPLACE, sets->get(want));
  }
}

// Goes through the store's rows and the index's records side by side, in UID order, keeping neither
// in memory.
class Merge {
 public:
  Merge(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info, lbox_keyword_sets* sets,
        std::vector<Row>* ghosts)
      : ctx_(ctx),
        info_(info),
        sets_(sets),
        ghosts_(ghosts),
        next_uid_(mail_index_get_header(ctx->view)->next_uid),
        count_(mail_index_view_get_messages_count(ctx->view)) {}

  void row(const lbox::Message& message, const lbox::MessageExtra* extra) {
    expunge_before(message.uid);
    Row row{message, extra != nullptr ? *extra : lbox::MessageExtra{}};
    if (seq_ <= count_ && index_uid() == message.uid) {
      adopt_flags(ctx_, seq_, info_, row, sets_);
      ++seq_;
    } else if (message.uid < next_uid_) {
      ghosts_->push_back(std::move(row));
    } else {
      append(ctx_, info_, row, sets_);
    }
  }

  void finish() { expunge_before(UINT32_MAX); }

 private:
  uint32_t index_uid() const {
    uint32_t uid = 0;
    mail_index_lookup_uid(ctx_->view, seq_, &uid);
    return uid;
  }

  // Records up to `uid` that the store has not; those asked to be expunged are expunged by their
  // request.
  void expunge_before(uint32_t uid) {
    for (; seq_ <= count_ && index_uid() < uid; ++seq_) {
      if (!std::binary_search(ctx_->expunged_uids.begin(), ctx_->expunged_uids.end(),
                              index_uid())) {
        mail_index_expunge(ctx_->trans, seq_);
      }
    }
  }

  struct lbox_sync_context* ctx_;
  const lbox::MailboxInfo& info_;
  lbox_keyword_sets* sets_;
  std::vector<Row>* ghosts_;
  const uint32_t next_uid_;
  const uint32_t count_;
  uint32_t seq_ = 1;
};

// Gives messages whose UID the index has overtaken new ones: they were never announced under the
// old.
int renumber(struct lbox_sync_context* ctx, lbox::MailboxInfo* info, uint32_t next_uid,
             std::vector<Row>* ghosts) {
  struct mailbox* box = &ctx->mbox->box;
  std::vector<lbox::NewMessage> copies(ghosts->size());
  for (size_t i = 0; i < ghosts->size(); ++i) {
    const Row& row = (*ghosts)[i];
    lbox::NewMessage& copy = copies[i];
    copy.source_mailbox = info->guid;
    copy.source_uid = row.message.uid;
    copy.guid = row.message.guid;
    copy.received = row.message.received;
    copy.saved = row.message.saved;
    copy.flags = row.message.flags;
    copy.keywords = lbox_keyword_names(*info, row.message, &row.extra);
    copy.original_guid = row.extra.original_guid;
    copy.pop3_uidl = row.extra.pop3_uidl;
    copy.pop3_order = row.extra.pop3_order;
    copy.cause = row.message.cause;
  }
  lbox::Store& store = lbox_store(ctx->mbox);
  // Durable after this, all or none: the new UIDs.
  const auto saved = store.Renumber(info->guid, next_uid, copies);
  if (!saved.ok()) {
    return lbox_fail(box->storage, box->event, saved.status());
  }
  for (size_t i = 0; i < ghosts->size(); ++i) {
    (*ghosts)[i].message.uid = copies[i].uid;
  }
  e_warning(box->event,
            "lbox: %zu messages had UIDs below the index's next UID %u and were given new ones",
            ghosts->size(), next_uid);
  auto fresh_info = store.GetMailbox(info->guid);
  if (!fresh_info.ok()) {
    return lbox_fail(box->storage, box->event, fresh_info.status());
  }
  *info = std::move(*fresh_info);
  return 0;
}

// A reset takes the modseq extension away, and Dovecot does not add it again while the index is
// open.
void keep_modseqs(struct lbox_sync_context* ctx) {
  uint32_t id = 0;
  if (mail_index_ext_lookup(ctx->mbox->box.index, MAIL_INDEX_MODSEQ_EXT_NAME, &id)) {
    struct mail_index_modseq_header hdr {};
    hdr.highest_modseq = mail_index_modseq_get_highest(ctx->view);
    mail_index_update_header_ext(ctx->trans, id, 0, &hdr, sizeof(hdr));
  }
}

}  // namespace

int lbox_reconcile_raise_modseq(struct lbox_sync_context* ctx, const lbox::MailboxInfo& info) {
  struct mailbox* box = &ctx->mbox->box;
  if (info.modseq_ceiling <= 1 || mail_index_modseq_get_highest(ctx->view) > info.modseq_ceiling) {
    return 0;
  }
  mail_index_modseq_enable(box->index);
  struct mail_index_transaction* trans =
      mail_index_transaction_begin(ctx->view, MAIL_INDEX_TRANSACTION_FLAG_EXTERNAL);
  mail_index_update_highest_modseq(trans, info.modseq_ceiling + 1);
  if (mail_index_transaction_commit(&trans) < 0) {
    mailbox_set_index_error(box);
    return -1;
  }
  return 0;
}

int lbox_reconcile(struct lbox_sync_context* ctx, lbox::MailboxInfo* info) {
  struct lbox_mailbox* mbox = ctx->mbox;
  struct mailbox* box = &mbox->box;
  const struct mail_index_header* hdr = mail_index_get_header(ctx->view);
  const uint32_t next_uid = hdr->next_uid;
  const bool fresh = hdr->uid_validity == 0;
  if (fresh && info->next_uid > 1) {
    // A new log, whose first modseq is above every modseq that was ever shown: Dovecot then knows
    // that it cannot tell from the log what vanished for a QRESYNC client, and compares UIDs.
    mail_index_reset(ctx->trans);
    keep_modseqs(ctx);
  }
  update_headers(ctx, *info, fresh);

  lbox_keyword_sets sets(box->index);
  std::vector<Row> ghosts;
  Merge merge(ctx, *info, &sets, &ghosts);
  const lbox::Status status =
      lbox_store(mbox).Scan(info->guid, 1, UINT32_MAX,
                            [&](const lbox::Message& message, const lbox::MessageExtra* extra) {
                              merge.row(message, extra);
                              return true;
                            });
  if (!status.ok()) {
    return lbox_fail(box->storage, box->event, status);
  }
  merge.finish();
  if (!ghosts.empty()) {
    if (renumber(ctx, info, std::max(next_uid, info->next_uid), &ghosts) < 0) {
      return -1;
    }
    for (const Row& row : ghosts) {
      append(ctx, *info, row, &sets);
    }
  }
  if (next_uid < info->next_uid) {
    set_header(ctx->trans, offsetof(struct mail_index_header, next_uid), info->next_uid, false);
  }
  return 0;
}

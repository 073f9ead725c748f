#include "plugin/index-compare.h"

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "plugin/guard.h"
#include "storage/check_files.h"

namespace {

constexpr int kTries = 5;  // while others change the mailbox

// The mailboxes of all namespaces that lie in this storage. Returns false when a list could not be
// read whole.
bool for_each_mailbox(struct lbox_storage* storage, const lbox_admin_calls& calls,
                      uint64_t* findings, const std::function<void(struct mailbox*)>& visit) {
  constexpr auto kFlags = static_cast<enum mailbox_list_iter_flags>(
      MAILBOX_LIST_ITER_RAW_LIST | MAILBOX_LIST_ITER_NO_AUTO_BOXES |
      MAILBOX_LIST_ITER_SKIP_ALIASES);
  bool whole = true;
  for (struct mail_namespace* ns = storage->storage.user->namespaces; ns != nullptr;
       ns = ns->next) {
    if (ns->storage != &storage->storage || ns->alias_for != nullptr) {
      continue;
    }
    struct mailbox_list_iterate_context* iter = mailbox_list_iter_init(ns->list, "*", kFlags);
    while (const struct mailbox_info* info = mailbox_list_iter_next(iter)) {
      if ((info->flags & (MAILBOX_NOSELECT | MAILBOX_NONEXISTENT)) != 0) {
        continue;
      }
      struct mailbox* box = mailbox_alloc(ns->list, info->vname, MAILBOX_FLAG_IGNORE_ACLS);
      visit(box);
      mailbox_free(&box);
    }
    if (mailbox_list_iter_deinit(&iter) < 0) {
      const std::string text = std::string("the mailbox list cannot be read: ") +
                               mailbox_list_get_last_internal_error(ns->list, nullptr);
      const lbox_admin_finding finding{"mailbox list", "", "", 0, text.c_str()};
      calls.finding(calls.context, &finding);
      ++*findings;
      whole = false;
    }
  }
  return whole;
}

void tell(const lbox_admin_calls& calls, struct mailbox* box, const std::string& text,
          uint64_t* findings) {
  const lbox_admin_finding finding{"dovecot index", box->vname, "", 0, text.c_str()};
  calls.finding(calls.context, &finding);
  ++*findings;
}

// What is not in step; "" when all is.
std::string difference(struct lbox_mailbox* mbox) {
  struct mailbox* box = &mbox->box;
  const auto info = lbox_store(mbox).GetMailbox(mbox->state->guid);
  if (!info.ok()) {
    return info.status().message();
  }
  struct lbox_index_header hdr;
  if (!lbox_mailbox_read_header(mbox, box->view, &hdr)) {
    return "the index does not say which mailbox it is of";
  }
  const struct mail_index_header* index = mail_index_get_header(box->view);
  const auto differ = [](const char* what, uint64_t in_index, uint64_t in_store) {
    return std::string(what) + ": " + std::to_string(in_index) + " in Dovecot's index, " +
           std::to_string(in_store) + " in the store";
  };
  if (hdr.change != info->change) {
    return differ("change counter", hdr.change, info->change);
  }
  if (index->messages_count != info->messages) {
    return differ("messages", index->messages_count, info->messages);
  }
  if (index->uid_validity != info->uid_validity) {
    return differ("UIDVALIDITY", index->uid_validity, info->uid_validity);
  }
  if (index->next_uid < info->next_uid) {
    return differ("next UID", index->next_uid, info->next_uid);
  }
  return {};
}

void compare(struct mailbox* box, const lbox_admin_calls& calls, uint64_t* findings,
             std::set<lbox::Guid>* guids) {
  if (mailbox_open(box) < 0) {
    tell(calls, box, mailbox_get_last_internal_error(box, nullptr), findings);
    return;
  }
  guids->insert(LBOX_MAILBOX(box)->state->guid);
  std::string text;
  for (int i = 0; i < kTries; ++i) {
    if (mailbox_sync(box, static_cast<enum mailbox_sync_flags>(0)) < 0) {
      text = mailbox_get_last_internal_error(box, nullptr);
      break;
    }
    text = difference(LBOX_MAILBOX(box));
    if (text.empty()) {
      return;
    }
  }
  tell(calls, box, text, findings);
}

}  // namespace

uint64_t lbox_compare_indexes(struct lbox_storage* storage, const lbox_admin_calls& calls) {
  uint64_t findings = 0;
  std::set<lbox::Guid> guids;
  const bool whole = for_each_mailbox(storage, calls, &findings, [&](struct mailbox* box) {
    compare(box, calls, &findings, &guids);
  });
  if (!whole || storage->state->store == nullptr) {
    return findings;
  }
  const auto boxes = storage->state->store->ListMailboxes();
  if (!boxes.ok()) {
    const lbox_admin_finding finding{"index", "", "", 0, boxes.status().message().c_str()};
    calls.finding(calls.context, &finding);
    return findings + 1;
  }
  for (const lbox::MailboxInfo& info : *boxes) {
    // Made or removed just now, perhaps.
    if (!guids.contains(info.guid) && storage->state->store->GetMailbox(info.guid).ok()) {
      const std::string name = lbox::DisplayName(info.name);
      const std::string text = "mailbox " + ToHex(info.guid) + " with " +
                               std::to_string(info.messages) +
                               " messages is in the store, but not in Dovecot's mailbox list";
      const lbox_admin_finding finding{"mailbox list", name.c_str(), "", 0, text.c_str()};
      calls.finding(calls.context, &finding);
      ++findings;
    }
  }
  return findings;
}

void lbox_resync_all(struct lbox_storage* storage, const lbox_admin_calls& calls,
                     uint64_t* findings_r) {
  for_each_mailbox(storage, calls, findings_r, [&](struct mailbox* box) {
    constexpr auto kFlags = static_cast<enum mailbox_sync_flags>(
        MAILBOX_SYNC_FLAG_FORCE_RESYNC | MAILBOX_SYNC_FLAG_FIX_INCONSISTENT);
    if (mailbox_open(box) < 0 || mailbox_sync(box, kFlags) < 0) {
      tell(calls, box, mailbox_get_last_internal_error(box, nullptr), findings_r);
    }
  });
}

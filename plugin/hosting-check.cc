#include "plugin/hosting-check.h"
#include "plugin/hosting-count.h"
#include "plugin/hosting-deliver.h"

#include <cinttypes>
#include <cstring>

namespace {

using Mode = hosting::AccountFigures::Mode;

constexpr char kUnknownText[] =
    "Usage of the hosting package is not known at present; try again later";

std::string size_text(uint64_t bytes) {
  char text[32];
  if (bytes < 1024 * 1024) {
    snprintf(text, sizeof text, "%" PRIu64 " KB", (bytes + 1023) / 1024);
  } else if (bytes < UINT64_C(1024) * 1024 * 1024) {
    snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / (1024 * 1024));
  } else {
    snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / (1024 * 1024 * 1024));
  }
  return text;
}

std::string what_of_what(uint64_t used, uint64_t limit) {
  return size_text(used) + " of " + size_text(limit) + " used";
}

std::string package_text(const hosting::AccountFigures& figures, uint64_t used, uint64_t limit) {
  std::string text =
      used >= limit ? "Hosting package is full: " : "Message does not fit in the hosting package: ";
  text += what_of_what(used, limit) + " (mail " + size_text(figures.mail) + ", web " +
          size_text(figures.web);
  if (figures.external != 0) {
    text += ", other " + size_text(figures.external);
  }
  return text + ")";
}

std::string messages_text(uint64_t messages, uint64_t limit) {
  return "Hosting package is full: " + std::to_string(messages) + " of " + std::to_string(limit) +
         " messages";
}

std::string mailbox_text(uint64_t used, uint64_t limit) {
  return (used >= limit ? "Mailbox is full: " : "Message does not fit in the mailbox: ") +
         what_of_what(used, limit);
}

// Of this transaction so far, with the message at hand.
struct demand {
  uint64_t bytes, messages;

  demand(const struct quota_transaction_context* ctx, uint64_t size)
      : bytes(size + static_cast<uint64_t>(ctx->bytes_used > 0 ? ctx->bytes_used : 0)),
        messages(1 + static_cast<uint64_t>(ctx->count_used > 0 ? ctx->count_used : 0)) {}

  [[nodiscard]] bool exceeds(uint64_t used, uint64_t limit) const {
    return limit != 0 && (used >= limit || bytes > limit - used);
  }
  [[nodiscard]] bool exceeds_messages(uint64_t used, uint64_t limit) const {
    return limit != 0 && (used >= limit || messages > limit - used);
  }
};

hosting_root* find_root(struct quota_transaction_context* ctx,
                        bool (*is_kind)(const struct quota_root*)) {
  for (struct quota_root* root : hosting_series_roots(ctx->quota)) {
    if (is_kind(root) && hosting_series_applies(root, ctx->box)) {
      return reinterpret_cast<hosting_root*>(root);
    }
  }
  return nullptr;
}

bool is_delivery(const struct quota_transaction_context* ctx) {
  return (ctx->box->flags & MAILBOX_FLAG_POST_SESSION) != 0;
}

// Not now. Dovecot saves mail when a check fails for want of knowledge, so that this is a refusal,
// made temporary on its way to the client (hosting-hooks.cc).
enum quota_alloc_result refuse_for_now(hosting_user& user, struct quota_transaction_context* ctx,
                                       const char** error_r) {
  user.text = kUnknownText;
  *error_r = kUnknownText;
  if (strcmp(user.user->service, "quota-status") == 0) {
    return QUOTA_ALLOC_RESULT_TEMPFAIL;
  }
  user.later = true;
  hosting_series_set_text(ctx, user.text.c_str());
  return QUOTA_ALLOC_RESULT_OVER_QUOTA;
}

// The root's name and the text, when it is one of ours that is full.
struct refusal {
  const char* root = nullptr;
  std::string text;
};

refusal why(const hosting_root* package, const hosting_root* mailbox, const demand& wanted) {
  if (package != nullptr) {
    const char* name = hosting_series_root_name(const_cast<struct quota_root*>(&package->root));
    if (wanted.exceeds(package->bytes, package->bytes_limit)) {
      return {name, package_text(package->figures, package->bytes, package->bytes_limit)};
    }
    if (wanted.exceeds_messages(package->messages, package->messages_limit)) {
      return {name, messages_text(package->messages, package->messages_limit)};
    }
  }
  if (mailbox != nullptr && wanted.exceeds(mailbox->bytes, mailbox->bytes_limit)) {
    return {hosting_series_root_name(const_cast<struct quota_root*>(&mailbox->root)),
            mailbox_text(mailbox->bytes, mailbox->bytes_limit)};
  }
  return {};
}

// What over_limit = "report" would have refused, once for each message.
void report_only(hosting_user& user, const hosting_root* package, const hosting_root* mailbox,
                 const demand& wanted, uint64_t size) {
  const hosting_root* any = package != nullptr ? package : mailbox;
  if (!user.storing || any == nullptr || any->figures.mode != Mode::kReport ||
      any->figures.recounting) {
    return;
  }
  hosting_root as_package{}, as_mailbox{};
  if (package != nullptr) {
    as_package = *package;
    as_package.bytes_limit = package->figures.limit;
    as_package.messages_limit = package->figures.message_limit;
  }
  refusal found = why(package == nullptr ? nullptr : &as_package, nullptr, wanted);
  if (found.root == nullptr && mailbox != nullptr && mailbox->figures.mailbox_limit != 0) {
    hosting::MailAmount amount;
    std::string error;
    if (hosting_count(user, hosting_store::as_is, &amount, &error) > 0) {
      as_mailbox = *mailbox;
      as_mailbox.bytes = amount.bytes;
      as_mailbox.bytes_limit = mailbox->figures.mailbox_limit;
      found = why(nullptr, &as_mailbox, wanted);
    }
  }
  if (found.root != nullptr) {
    hosting_user_refused(user, found.root, found.text, size, true);
  }
}

enum quota_alloc_result check(hosting_user& user, struct quota_transaction_context* ctx,
                              uint64_t size, enum quota_alloc_result (*next)(void*), void* context,
                              const char** error_r) {
  user.later = false;
  hosting_series_set_text(ctx, nullptr);
  if (user.moving || user.noticing) {
    return QUOTA_ALLOC_RESULT_OK;
  }
  const hosting_root* package = find_root(ctx, hosting_is_package_root);
  const hosting_root* mailbox = find_root(ctx, hosting_is_mailbox_root);
  if (package == nullptr && mailbox == nullptr) {
    return next(context);
  }
  const demand wanted(ctx, size);
  user.wanted = {wanted.bytes, wanted.messages};
  const hosting::Lookup lookup = hosting_user_figures(user);
  const bool tempfail = user.connection->client().unavailable_tempfail();
  if (tempfail && lookup.trust == hosting::Trust::kUnknown) {
    return refuse_for_now(user, ctx, error_r);
  }
  const enum quota_alloc_result result = next(context);
  if (result == QUOTA_ALLOC_RESULT_OK) {
    if (package != nullptr && package->web_stale && tempfail &&
        wanted.exceeds(package->figures.total(), package->bytes_limit)) {
      return refuse_for_now(user, ctx, error_r);
    }
    report_only(user, package, mailbox, wanted, size);
    return result;
  }
  if (result != QUOTA_ALLOC_RESULT_OVER_QUOTA && result != QUOTA_ALLOC_RESULT_OVER_QUOTA_LIMIT) {
    return result;
  }
  refusal found = why(package, mailbox, wanted);
  if (found.root == nullptr) {
    return result;  // another root is full
  }
  user.text = std::move(found.text);
  hosting_series_set_text(ctx, user.text.c_str());
  user.later = is_delivery(ctx) && user.connection->client().over_limit_tempfail() &&
               !hosting_deliver_full_tempfail(user);
  hosting_user_refused(user, found.root, user.text, size, false);
  return result;
}

}  // namespace

enum quota_alloc_result hosting_check(hosting_user& user, struct quota_transaction_context* ctx,
                                      uint64_t size, enum quota_alloc_result (*next)(void*),
                                      void* context, const char** error_r) {
  const enum quota_alloc_result result = check(user, ctx, size, next, context, error_r);
  user.wanted.reset();
  return result;
}

bool hosting_is_move_within(struct mailbox* from, struct mailbox* to) {
  hosting_user* user = hosting_user_of_box(to);
  if (user == nullptr || hosting_user_of_box(from) != user) {
    return false;
  }
  for (struct quota_root* root : hosting_series_roots(quota_get_mail_user_quota(user->user))) {
    if (hosting_series_is_visible(root, to) && !hosting_series_is_visible(root, from)) {
      return false;
    }
  }
  return true;
}

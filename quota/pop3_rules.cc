#include "quota/pop3_rules.h"

#include "usage.pb.h"

namespace hosting {
namespace {

std::string Days(uint32_t days) {
  return std::to_string(days) + (days == 1 ? " day" : " days");
}

const NoticeTexts* TextsIn(const ProtocolOptions& options, const std::string& language) {
  for (const ProtocolTexts& texts : options.texts) {
    if (texts.language == language) {
      return &texts.notices;
    }
  }
  return nullptr;
}

// The first of these that says something.
void Choose(std::string& text, std::string NoticeTexts::*member, const NoticeTexts* in_own_language,
            const NoticeTexts* in_any) {
  if (in_own_language != nullptr && !(in_own_language->*member).empty()) {
    text = in_own_language->*member;
  } else if (text.empty() && in_any != nullptr) {
    text = in_any->*member;
  }
}

void ChooseTexts(const Effective& effective, const ProtocolOptions& options, Pop3Rules& rules) {
  const std::string own = effective.account == nullptr ? "" : effective.account->language;
  const NoticeTexts* const in_own = own.empty() ? nullptr : TextsIn(options, own);
  const NoticeTexts* const in_any = TextsIn(options, options.language);
  if (rules.retention) {
    Choose(rules.retention->notice_subject, &NoticeTexts::retention_subject, in_own, in_any);
    Choose(rules.retention->notice_text, &NoticeTexts::retention_text, in_own, in_any);
  }
  Choose(rules.removal_subject, &NoticeTexts::removal_subject, in_own, in_any);
  Choose(rules.removal_text, &NoticeTexts::removal_text, in_own, in_any);
  Choose(rules.folders, &NoticeTexts::folders, in_own, in_any);
}

}  // namespace

Pop3Rules Pop3RulesOf(const Effective& effective, const ProtocolOptions& options) {
  Pop3Rules rules;
  const Package& package = *effective.package;
  rules.imap = PolicyIndex::AccessOf(effective, kImap).access != Access::kDeny;
  if (package.pop3_retention && (!rules.imap || package.pop3_retention->with_imap)) {
    rules.retention = package.pop3_retention;
  }
  rules.dele = package.pop3_dele;
  rules.into_inbox = package.pop3_into_inbox && !rules.imap;
  ChooseTexts(effective, options, rules);
  return rules;
}

std::string RetentionText(const std::optional<Retention>& retention) {
  if (!retention) {
    return "none";
  }
  std::string text =
      Days(retention->days) + " after " + (retention->from_retrieval ? "retrieval" : "delivery");
  if (retention->delete_unretrieved) {
    text += ", also what POP3 never fetched";
  }
  if (!retention->expiry_folder.empty()) {
    text += ", then in " + retention->expiry_folder + " for " + Days(retention->expiry_days);
  }
  return text;
}

std::string DeleText(const Pop3Dele& dele) {
  return dele.means == DeleMeans::kHide    ? "hide"
         : dele.means == DeleMeans::kDefer ? "defer until " + Days(dele.days) + " after delivery"
                                           : "delete";
}

void Fill(const Pop3Rules& from, wire::Pop3* to) {
  to->set_no_imap(!from.imap);
  to->set_into_inbox(from.into_inbox);
  to->set_dele(static_cast<uint32_t>(from.dele.means));
  to->set_dele_days(from.dele.days);
  to->set_dele_warn(from.dele.warn);
  to->set_removal_subject(from.removal_subject);
  to->set_removal_text(from.removal_text);
  to->set_folders(from.folders);
  if (!from.retention) {
    return;
  }
  wire::Retention& retention = *to->mutable_retention();
  retention.set_days(from.retention->days);
  retention.set_from_retrieval(from.retention->from_retrieval);
  retention.set_delete_unretrieved(from.retention->delete_unretrieved);
  retention.set_notice_days(from.retention->notice_days);
  retention.set_notice_subject(from.retention->notice_subject);
  retention.set_notice_text(from.retention->notice_text);
  retention.set_expiry_folder(from.retention->expiry_folder);
  retention.set_expiry_days(from.retention->expiry_days);
}

Pop3Rules Pop3RulesFrom(const wire::Pop3& from) {
  Pop3Rules rules;
  rules.imap = !from.no_imap();
  rules.into_inbox = from.into_inbox();
  rules.removal_subject = from.removal_subject();
  rules.removal_text = from.removal_text();
  rules.folders = from.folders();
  if (from.dele() <= static_cast<uint32_t>(DeleMeans::kDefer) && from.dele_days() != 0) {
    rules.dele = {static_cast<DeleMeans>(from.dele()), from.dele_days(), from.dele_warn()};
  }
  if (from.retention().days() != 0 && from.retention().expiry_days() != 0) {
    const wire::Retention& retention = from.retention();
    Retention& to = rules.retention.emplace();
    to.days = retention.days();
    to.from_retrieval = retention.from_retrieval();
    to.delete_unretrieved = retention.delete_unretrieved();
    to.notice_days = retention.notice_days();
    to.notice_subject = retention.notice_subject();
    to.notice_text = retention.notice_text();
    to.expiry_folder = retention.expiry_folder();
    to.expiry_days = retention.expiry_days();
  }
  return rules;
}

}  // namespace hosting

#include "quota/pop3_rules.h"

#include "usage.pb.h"

namespace hosting {

Pop3Rules Pop3RulesOf(const Effective& effective) {
  Pop3Rules rules;
  const Package& package = *effective.package;
  rules.imap = PolicyIndex::AccessOf(effective, kImap).access != Access::kDeny;
  if (package.pop3_retention && (!rules.imap || package.pop3_retention->with_imap)) {
    rules.retention = package.pop3_retention;
  }
  rules.dele = package.pop3_dele;
  rules.into_inbox = package.pop3_into_inbox && !rules.imap;
  return rules;
}

void Fill(const Pop3Rules& from, wire::Pop3* to) {
  to->set_no_imap(!from.imap);
  to->set_into_inbox(from.into_inbox);
  to->set_dele(static_cast<uint32_t>(from.dele.means));
  to->set_dele_days(from.dele.days);
  to->set_dele_warn(from.dele.warn);
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

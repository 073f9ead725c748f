#include "quota/package_change.h"

#include <algorithm>
#include <optional>

#include "quota/pop3_rules.h"
#include "quota/size.h"

namespace hosting {
namespace {

std::string LimitText(uint64_t limit) {
  return limit == 0 ? "none" : FormatSize(limit);
}

std::string FitNote(uint64_t stored, uint64_t limit, const char* what) {
  const std::string is = FormatSize(stored) + " is stored: ";
  return limit == 0 || stored <= limit ? is + "fits"
                                       : is + "over by " + FormatSize(stored - limit) + "; " +
                                             what + " takes no mail until there is room";
}

class Comparison {
 public:
  Comparison(std::vector<PackageChange>& changes, std::string user, const Effective& before,
             const Effective& after)
      : changes_(changes), user_(std::move(user)), before_(before), after_(after) {}

  void Account(uint64_t stored) {
    Add("package", before_.package->name, after_.package->name, "");
    Add("limit", LimitText(before_.limit), LimitText(after_.limit),
        FitNote(stored, after_.limit, "the account"));
    Add("over_limit", NameOf(before_.over_limit), NameOf(after_.over_limit), "");
  }

  void Mailbox(uint64_t stored) {
    Add("mailbox_limit", LimitText(before_.mailbox_limit), LimitText(after_.mailbox_limit),
        FitNote(stored, after_.mailbox_limit, "the mailbox"));
    for (uint8_t i = 0; i < kProtocols; ++i) {
      const auto protocol = static_cast<Protocol>(i);
      Add(std::string(kProtocolNames[i]), NameOf(AccessOf(before_, protocol)),
          NameOf(AccessOf(after_, protocol)), "");
    }
    Pop3();
  }

 private:
  static Access AccessOf(const Effective& effective, Protocol protocol) {
    return PolicyIndex::AccessOf(effective, protocol).access;
  }

  void Pop3() {
    const Pop3Rules was = Pop3RulesOf(before_), is = Pop3RulesOf(after_);
    Add("retention", RetentionText(was.retention), RetentionText(is.retention),
        is.retention && is.retention->notice_days != 0
            ? "a notice goes out " + std::to_string(is.retention->notice_days) +
                  " days before the first deletion"
            : "");
    Add("DELE", DeleText(was.dele), DeleText(is.dele), "");
    if (was.imap && !is.imap) {
      Add("folders", "IMAP", "not seen by POP3",
          "doveadm hosting folders " + user_ + "; into INBOX: doveadm hosting merge-folders " +
              user_);
      Add("Sent", "on the server", "in the customer's program",
          "what is in Sent stays there, not seen by POP3");
    } else if (!was.imap && is.imap) {
      Add("folders", "not seen by POP3", "IMAP", "folders of earlier days are seen again");
      Add("Sent", "in the customer's program", "on the server",
          "mail sent until now is on the customer's computer");
    }
  }

  void Add(const std::string& what, const std::string& before, const std::string& after,
           const std::string& note) {
    if (before != after) {
      changes_.push_back({user_, what, before, after, note});
    }
  }

  std::vector<PackageChange>& changes_;
  const std::string user_;
  const Effective& before_;
  const Effective& after_;
};

}  // namespace

std::vector<PackageChange> PackageChanges(const PolicyIndex& before, const PolicyIndex& after,
                                          const std::string& account, uint64_t stored,
                                          const std::vector<StoredMail>& mail) {
  std::vector<PackageChange> changes;
  const auto compare = [&](const std::string& user, UserdbFields fields) {
    if (fields.account.empty()) {
      fields.account = account;
    }
    return std::pair{before.EffectiveOf(user, fields), after.EffectiveOf(user, fields)};
  };
  if (const auto [was, is] = compare("", {}); was && is) {
    Comparison(changes, "", *was, *is).Account(stored);
  }
  for (const StoredMail& each : mail) {
    const auto [was, is] = compare(each.user, each.fields);
    if (!was || !is) {
      continue;
    }
    if (!each.fields.package.empty()) {
      changes.push_back({each.user, "package", was->package->name, is->package->name,
                         "from the field hosting_package of " + each.source +
                             ": the policy file does not change it"});
    }
    Comparison(changes, each.user, *was, *is).Mailbox(each.bytes);
  }
  return changes;
}

bool ComesFromFields(const std::vector<StoredMail>& mail) {
  return !mail.empty() && std::all_of(mail.begin(), mail.end(), [](const StoredMail& each) {
    return !each.fields.package.empty();
  });
}

}  // namespace hosting

#include "quota/usage_web.h"

#include <algorithm>
#include <set>
#include <vector>

#include "quota/ledger_rows.h"
#include "quota/size.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr uint32_t kAlarmAfter = 3;  // partial walks in a row

bool HasRoot(const Account& account, const std::string& root) {
  return std::find(account.web_roots.begin(), account.web_roots.end(), root) !=
         account.web_roots.end();
}

bool HasExternal(const Account& account, const std::string& name) {
  return std::any_of(account.external.begin(), account.external.end(),
                     [&](const ExternalSource& source) { return source.name == name; });
}

}  // namespace

Status UsageWeb::Plan(const Account& account, int64_t now) {
  if (account.web_roots.empty()) {
    schedule_.Remove(account.name);
    return {};
  }
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account.name));
  int64_t last = INT64_MAX;
  for (const std::string& root : account.web_roots) {
    const auto row = ledger_.Get({account.name, SourceKind::kWeb, root});
    last = std::min(last, row.ok() ? row->at : 0);
  }
  schedule_.Set(account.name, {account.web_roots.begin(), account.web_roots.end()},
                effective ? effective->package->web_interval : Package().web_interval, last, now);
  return {};
}

Status UsageWeb::Prune(const std::string& name, UsageMail& mail) {
  const Account* const account = accounts_.index().FindAccount(name);
  std::vector<SourceId> gone;
  std::vector<std::pair<std::string, std::string>> moved;
  LBOX_RETURN_IF_ERROR(ledger_.ForEachSource(name, {}, [&](const SourceId& id, const SourceRow&) {
    if (id.kind == SourceKind::kMail) {
      const Account* const now_in = accounts_.index().AccountOfUser(id.name);
      if (now_in != nullptr && now_in->name != name) {
        moved.emplace_back(id.name, now_in->name);
      }
    } else if (account != nullptr &&
               !(id.kind == SourceKind::kWeb ? HasRoot(*account, id.name)
                                             : HasExternal(*account, id.name))) {
      gone.push_back(id);
    }
    return true;
  }));
  for (const SourceId& id : gone) {
    LBOX_RETURN_IF_ERROR(ledger_.Remove(id));
  }
  for (const auto& [user, to] : moved) {
    const auto place = mail.PlaceOf(user);
    if (!place.ok() || !place->by_userdb) {
      LBOX_RETURN_IF_ERROR(mail.Move(user, {to, false}));
    }
  }
  return gone.empty() ? Status() : accounts_.Refresh(name);
}

Status UsageWeb::FollowPolicy(UsageMail& mail, int64_t now) {
  const Policy& policy = accounts_.policy();
  for (const std::string& name : schedule_.Accounts()) {
    if (accounts_.index().FindAccount(name) == nullptr) {
      schedule_.Remove(name);
    }
  }
  for (const Account& account : policy.accounts) {
    LBOX_RETURN_IF_ERROR(Plan(account, now));
  }
  if (policy.accounts.empty()) {
    return {};  // rather a policy that could not be read than one without customers
  }
  std::vector<std::string> names;
  LBOX_RETURN_IF_ERROR(ledger_.ForEachAccount("", [&](std::string_view name, const AccountTotals&) {
    names.emplace_back(name);
    return true;
  }));
  for (const std::string& name : names) {
    LBOX_RETURN_IF_ERROR(Prune(name, mail));
  }
  return {};
}

Status UsageWeb::TakeWeb(const wire::Measured& measured, int64_t now) {
  const Account* const account = accounts_.index().FindAccount(measured.account());
  if (account == nullptr || !HasRoot(*account, measured.source())) {
    return Status(Code::kNotFound, "the policy has no such web root");
  }
  if (measured.usage().bytes() > kMaxSize) {
    return Status(Code::kInvalid, "that many bytes are no figure");
  }
  const SourceId id{account->name, SourceKind::kWeb, measured.source()};
  const auto found = ledger_.Get(id);
  if (!found.ok() && found.status().code() != Code::kNotFound) {
    return found.status();
  }
  SourceRow row = found.ok() ? *found : SourceRow();
  if (measured.partial()) {
    ++row.partial;
    row.problem = Printable(measured.problem());
    if (row.at == 0) {
      row.bytes = measured.usage().bytes();  // at least that much, and nothing better is known
    }
    if (row.partial >= kAlarmAfter) {
      log_(LogLevel::kError, "web root " + Printable(id.name) + " of account " +
                                 Printable(id.account) + ": " + std::to_string(row.partial) +
                                 " walks since the last complete one: " + row.problem);
    }
  } else if (std::min(measured.at(), now) >= row.at || row.at > now) {
    row.bytes = measured.usage().bytes();
    row.messages = measured.usage().messages();
    row.disk = measured.usage().disk();
    row.at = std::max<int64_t>(1, std::min(measured.at(), now));
    row.counted_at = row.at;
    row.partial = 0;
    row.problem.clear();
  }
  LBOX_RETURN_IF_ERROR(ledger_.Put(id, row));
  return accounts_.Refresh(id.account);
}

Status UsageWeb::TakeExternal(const std::string& account_name, const std::string& source,
                              uint64_t bytes, int64_t now) {
  const Account* const account = accounts_.index().FindAccount(account_name);
  if (account == nullptr) {
    return Status(Code::kNotFound, "the policy has no account of that name");
  }
  if (!HasExternal(*account, source)) {
    return Status(Code::kNotFound, "the policy gives this account no external source of that name");
  }
  if (bytes > kMaxSize) {
    return Status(Code::kInvalid, "that many bytes are no figure");
  }
  SourceRow row;
  row.bytes = bytes;
  row.at = now;
  LBOX_RETURN_IF_ERROR(ledger_.Put({account->name, SourceKind::kExternal, source}, row));
  return accounts_.Refresh(account->name);
}

}  // namespace hosting

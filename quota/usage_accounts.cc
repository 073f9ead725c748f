#include "quota/usage_accounts.h"

#include <algorithm>

#include "quota/bytes.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr std::string_view kFieldsKey = "fields/";

enum FieldFlag : uint8_t { kHasExtraSpace = 1 };

std::string Encode(const UserdbFields& fields) {
  ByteWriter out;
  out.Number<uint8_t>(fields.extra_space ? kHasExtraSpace : 0);
  out.Number<uint64_t>(fields.extra_space.value_or(0));
  out.Bytes(fields.package);
  return out.Take();
}

AccountFigures::Mode ModeOf(const Effective& effective) {
  if (!effective.enforce) {
    return AccountFigures::Mode::kOff;
  }
  switch (effective.over_limit) {
    case OverLimit::kBill:
      return AccountFigures::Mode::kBill;
    case OverLimit::kReport:
      return AccountFigures::Mode::kReport;
    default:
      return AccountFigures::Mode::kRefuse;
  }
}

}  // namespace

Status UsageAccounts::SetPolicy(std::shared_ptr<const LoadedPolicy> policy) {
  policy_ = std::move(policy);
  for (const auto& [account, shown] : pages_) {
    LBOX_RETURN_IF_ERROR(Refresh(account));
  }
  return {};
}

Status UsageAccounts::TakeFields(const std::string& account, const UserdbFields& fields) {
  const std::string key = std::string(kFieldsKey) + account;
  const auto before = ledger_.GetValue(key);
  if (!before.ok() && before.status().code() != Code::kNotFound) {
    return before.status();
  }
  if (fields.package.empty() && !fields.extra_space) {
    return before.ok() ? ledger_.RemoveValue(key) : Status();
  }
  const std::string value = Encode(fields);
  return before.ok() && *before == value ? Status() : ledger_.PutValue(key, value);
}

Result<UserdbFields> UsageAccounts::Fields(std::string_view account) {
  UserdbFields fields;
  fields.account = account;
  const auto value = ledger_.GetValue(std::string(kFieldsKey) + fields.account);
  if (!value.ok()) {
    return value.status().code() == Code::kNotFound ? Result<UserdbFields>(fields)
                                                    : Result<UserdbFields>(value.status());
  }
  ByteReader in(*value);
  const auto flags = in.Number<uint8_t>();
  const auto extra_space = in.Number<uint64_t>();
  if ((flags & kHasExtraSpace) != 0) {
    fields.extra_space = extra_space;
  }
  fields.package = in.Bytes(in.left());
  return fields;
}

Result<std::optional<Effective>> UsageAccounts::EffectiveOf(std::string_view account) {
  LBOX_ASSIGN_OR_RETURN(const UserdbFields fields, Fields(account));
  return index().EffectiveOf("", fields);
}

Result<int64_t> UsageAccounts::OldestWeb(const Account& account) {
  int64_t oldest = 0;
  for (const std::string& root : account.web_roots) {
    const auto row = ledger_.Get({account.name, SourceKind::kWeb, root});
    if (!row.ok() && row.status().code() != Code::kNotFound) {
      return row.status();
    }
    // One that was never walked counts nothing yet, so nothing of it can be stale.
    if (row.ok() && row->at != 0) {
      oldest = oldest == 0 ? row->at : std::min(oldest, row->at);
    }
  }
  return oldest;
}

Result<AccountFigures> UsageAccounts::Figures(const std::string& account) {
  AccountFigures figures;
  LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(account));
  LBOX_ASSIGN_OR_RETURN(const auto effective, EffectiveOf(account));
  figures.mail = totals.mail;
  figures.web = totals.web;
  figures.external = totals.external;
  figures.messages = totals.messages;
  figures.recounting = totals.unsure > 0;
  if (!effective) {
    return figures;  // no package, no limit
  }
  figures.mode = ModeOf(*effective);
  figures.limit = effective->limit;
  figures.hard_limit = effective->hard_limit;
  figures.message_limit = effective->message_limit;
  figures.mailbox_limit = effective->mailbox_limit;
  if (effective->account != nullptr) {
    LBOX_ASSIGN_OR_RETURN(figures.web_at, OldestWeb(*effective->account));
  }
  return figures;
}

Result<int> UsageAccounts::Acquire(const std::string& account) {
  auto at = pages_.find(account);
  if (at == pages_.end()) {
    LBOX_ASSIGN_OR_RETURN(SharedPage page, SharedPage::Create("hosting-account"));
    LBOX_ASSIGN_OR_RETURN(const AccountFigures figures, Figures(account));
    WriteAccountPage(*page.As<AccountPage>(), figures);
    at = pages_.emplace(account, Shown{std::move(page), 0}).first;
  }
  ++at->second.sessions;
  return at->second.page.fd();
}

void UsageAccounts::Release(const std::string& account) {
  const auto at = pages_.find(account);
  if (at != pages_.end() && --at->second.sessions == 0) {
    pages_.erase(at);
  }
}

Status UsageAccounts::Refresh(const std::string& account) {
  if (changed_) {
    changed_(account);
  }
  const auto at = pages_.find(account);
  if (at == pages_.end()) {
    return {};
  }
  LBOX_ASSIGN_OR_RETURN(const AccountFigures figures, Figures(account));
  WriteAccountPage(*at->second.page.As<AccountPage>(), figures);
  return {};
}

}  // namespace hosting

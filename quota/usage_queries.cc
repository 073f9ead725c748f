#include "quota/usage_queries.h"

#include <algorithm>
#include <optional>

#include "quota/usage_causes.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr size_t kMostReplyBytes = 48 * 1024;  // a frame holds 64 KiB
constexpr int kMostAccounts = 100;

wire::SourceUsage::Kind WireKind(SourceKind kind) {
  switch (kind) {
    case SourceKind::kMail:
      return wire::SourceUsage::MAIL;
    case SourceKind::kWeb:
      return wire::SourceUsage::WEB;
    case SourceKind::kExternal:
      return wire::SourceUsage::EXTERNAL;
  }
  return wire::SourceUsage::UNSPECIFIED;
}

bool IsStale(const SourceId& id, const SourceRow& row, const std::optional<Effective>& effective,
             int64_t now) {
  if (row.recount || row.at == 0) {
    return true;
  }
  if (!effective || effective->account == nullptr) {
    return false;
  }
  if (id.kind == SourceKind::kWeb) {
    return now - row.at > 2 * static_cast<int64_t>(effective->package->web_interval);
  }
  if (id.kind == SourceKind::kExternal) {
    for (const ExternalSource& source : effective->account->external) {
      if (source.name == id.name) {
        return source.stale_after != 0 && now - row.at > static_cast<int64_t>(source.stale_after);
      }
    }
  }
  return false;
}

Status FillAccount(Ledger& ledger, UsageAccounts& accounts, const std::string& name, int64_t now,
                   wire::AccountUsage& usage) {
  LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger.Totals(name));
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts.EffectiveOf(name));
  usage.set_account(name);
  usage.set_mail(totals.mail);
  usage.set_web(totals.web);
  usage.set_external(totals.external);
  usage.set_messages(totals.messages);
  usage.set_disk(totals.disk);
  usage.set_recounting(totals.unsure > 0);
  std::string zone = "UTC";
  if (effective) {
    usage.set_package(effective->package->name);
    usage.set_limit(effective->limit);
    usage.set_hard_limit(effective->hard_limit);
    usage.set_over_limit(NameOf(effective->over_limit));
    if (effective->account != nullptr) {
      zone = effective->account->time_zone;
    }
  }
  LBOX_ASSIGN_OR_RETURN(const CauseSums causes, CausesOf(ledger, name, zone, now));
  usage.set_refused(causes.refused);
  return {};
}

Status FillSources(Ledger& ledger, UsageAccounts& accounts, const wire::UsageQuery& query,
                   int64_t now, wire::AdminResult& result) {
  wire::AccountUsage& usage = *result.add_accounts();
  LBOX_RETURN_IF_ERROR(FillAccount(ledger, accounts, query.account(), now, usage));
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts.EffectiveOf(query.account()));
  SourceCursor from;
  if (!query.after().empty()) {
    const int kind = query.after().front() - '0';
    if (kind < 1 || kind > 3) {
      return Status(Code::kInvalid, "after: a source's kind, 1 to 3, and its name");
    }
    from = {static_cast<SourceKind>(kind), query.after().substr(1)};
  }
  size_t bytes = 0;
  LBOX_RETURN_IF_ERROR(
      ledger.ForEachSource(query.account(), from, [&](const SourceId& id, const SourceRow& row) {
        bytes += id.name.size() + row.problem.size() + 64;
        if (bytes > kMostReplyBytes && usage.sources_size() > 0) {
          result.set_more(true);
          return false;
        }
        wire::SourceUsage& source = *usage.add_sources();
        source.set_kind(WireKind(id.kind));
        source.set_name(id.name);
        source.mutable_usage()->set_bytes(row.bytes);
        source.mutable_usage()->set_messages(row.messages);
        source.mutable_usage()->set_disk(row.disk);
        source.set_at(row.at);
        source.set_stale(IsStale(id, row, effective, now));
        source.set_problem(row.problem);
        return true;
      }));
  if (usage.sources_size() == 0 && !effective &&
      accounts.index().FindAccount(query.account()) == nullptr) {
    return Status(Code::kNotFound, "no account of that name");
  }
  return {};
}

}  // namespace

Status AnswerUsage(Ledger& ledger, UsageAccounts& accounts, const wire::UsageQuery& query,
                   int64_t now, wire::AdminResult& result) {
  if (!query.account().empty()) {
    return FillSources(ledger, accounts, query, now, result);
  }
  // Both lists are by name; an account is in either or both.
  std::vector<std::string> names;
  LBOX_RETURN_IF_ERROR(
      ledger.ForEachAccount(query.after(), [&](std::string_view name, const AccountTotals&) {
        names.emplace_back(name);
        return names.size() <= kMostAccounts;
      }));
  const auto& known = accounts.policy().accounts;
  auto at = std::upper_bound(
      known.begin(), known.end(), query.after(),
      [](const std::string& name, const Account& account) { return name < account.name; });
  for (int i = 0; i <= kMostAccounts && at != known.end(); ++i, ++at) {
    names.push_back(at->name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  size_t bytes = 0;
  for (const std::string& name : names) {
    bytes += 2 * kMaxAccountBytes + 128;
    if (bytes > kMostReplyBytes || result.accounts_size() == kMostAccounts) {
      result.set_more(true);
      break;
    }
    LBOX_RETURN_IF_ERROR(FillAccount(ledger, accounts, name, now, *result.add_accounts()));
  }
  return {};
}

}  // namespace hosting

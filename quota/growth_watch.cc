#include "quota/growth_watch.h"

#include <algorithm>
#include <cstdio>

#include "quota/growth_rules.h"
#include "quota/growth_wire.h"
#include "quota/ledger_rows.h"
#include "quota/usage_causes.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr size_t kLooksATick = 100;
constexpr size_t kWarningsKept = 20;  // of an account
constexpr int64_t kFailureLogMs = 60000;

// Numbers of one length, so that keys are in their order.
std::string WarningKey(const std::string& account, uint64_t number) {
  char digits[24];
  (void)snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(number));
  return GrowthWarningPrefix(account) + digits;
}

bool HasRules(const Package& package) {
  return !package.warn_percent.empty() || package.warn_days != 0 ||
         package.warn_weekly_percent != 0 || package.warn_overage;
}

TimeZone ZoneOf(const Effective& effective) {
  return TimeZone::Of(effective.account == nullptr ? "UTC" : effective.account->time_zone);
}

}  // namespace

std::string GrowthStateKey(const std::string& account) {
  return "growth/" + account;
}

std::string GrowthWarningPrefix(const std::string& account) {
  return "warned/" + account + '\0';
}

Status GrowthWatch::Hour(const std::string& account, int64_t now) {
  LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(account));
  LBOX_ASSIGN_OR_RETURN(const CauseSums causes, CausesEver(ledger_, account));
  GrowthRecord record;
  record.key = GrowthKey(account);
  record.hour = static_cast<uint32_t>(now / 3600);
  record.mail = totals.mail;
  record.web = totals.web;
  record.external = totals.external;
  record.delivered = causes.delivered;
  record.saved = causes.saved;
  record.removed_pop3 = causes.removed_pop3;
  record.removed_imap = causes.removed_imap;
  record.removed_retention = causes.removed_retention;
  if (history_.Add(record)) {
    const auto day = static_cast<uint32_t>(now / kSecondsADay - 1);
    LBOX_RETURN_IF_ERROR(
        ledger_.ForEachSource(account, {}, [&](const SourceId& id, const SourceRow& row) {
          history_.AddSource({GrowthKey(id), day, row.bytes});
          return true;
        }));
  }
  changed_.erase(account);
  if (const Status status = Look(account, now); !status.ok()) {
    changed_.insert(account);  // told about, and tried again, with the others
  }
  return {};
}

void GrowthWatch::Tick(int64_t now, int64_t boot_ms) {
  history_.Write(boot_ms);
  std::vector<std::string> again;
  for (size_t i = 0; i < kLooksATick && !changed_.empty(); ++i) {
    auto next = changed_.upper_bound(looked_at_);
    next = next == changed_.end() ? changed_.begin() : next;
    const std::string account = looked_at_ = changed_.extract(next).value();
    if (const Status status = Look(account, now); !status.ok()) {
      Failed(account, status, boot_ms);
      again.push_back(account);
    }
  }
  changed_.insert(again.begin(), again.end());
}

void GrowthWatch::Failed(const std::string& account, const Status& status, int64_t boot_ms) {
  if (!failed_ || boot_ms - failure_logged_ms_ >= kFailureLogMs) {
    failed_ = true;
    failure_logged_ms_ = boot_ms;
    log_(LogLevel::kError,
         "account \"" + Printable(account) + "\": growth warnings wait: " + status.message());
  }
}

Result<GrowthOutlook> GrowthWatch::OutlookOfAccount(const std::string& account,
                                                    const AccountTotals& totals,
                                                    const Effective& effective, int64_t now) {
  const TimeZone zone = ZoneOf(effective);
  const uint64_t key = GrowthKey(account);
  const std::vector<GrowthPoint> points = history_.Points(key, now);
  GrowthOutlook outlook = OutlookOf(totals, effective.limit, zone, points, now);
  outlook.kept_percent = history_.KeptPercent(key);
  if (effective.package->overage) {
    std::vector<BillingDay> days;
    LBOX_RETURN_IF_ERROR(ForEachBillingDay(ledger_, account, outlook.month,
                                           [&](const BillingDay& day) { days.push_back(day); }));
    LBOX_RETURN_IF_ERROR(AddExpectedPrice(*effective.package->overage, std::move(days), zone,
                                          GrowthRate::Of(points), outlook));
  }
  return outlook;
}

Result<std::optional<GrowthOutlook>> GrowthWatch::Outlook(const std::string& account, int64_t now) {
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account));
  if (!effective) {
    return std::optional<GrowthOutlook>();
  }
  LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(account));
  LBOX_ASSIGN_OR_RETURN(GrowthOutlook outlook, OutlookOfAccount(account, totals, *effective, now));
  return std::optional(std::move(outlook));
}

Status GrowthWatch::Look(const std::string& account, int64_t now) {
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account));
  if (!effective || !HasRules(*effective->package)) {
    return {};
  }
  LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(account));
  if (totals.unsure > 0) {
    return {};  // its figures are being counted
  }
  LBOX_ASSIGN_OR_RETURN(const GrowthOutlook outlook,
                        OutlookOfAccount(account, totals, *effective, now));
  GrowthState before;
  const auto kept = ledger_.GetValue(GrowthStateKey(account));
  if (kept.ok()) {
    LBOX_ASSIGN_OR_RETURN(before, DecodeGrowthState(*kept));
  } else if (kept.status().code() != Code::kNotFound) {
    return kept.status();
  }
  GrowthState state = Rearmed(*effective->package, outlook, before);
  for (const GrowthWarning& warning : DueWarnings(account, *effective->package, outlook, state)) {
    LBOX_RETURN_IF_ERROR(Give(warning));
    NoteWarning(*effective->package, warning, outlook.month, state);
    LBOX_RETURN_IF_ERROR(ledger_.PutValue(GrowthStateKey(account), EncodeGrowthState(state)));
    before = state;
  }
  return state == before ? Status()
                         : ledger_.PutValue(GrowthStateKey(account), EncodeGrowthState(state));
}

Status GrowthWatch::Give(const GrowthWarning& warning) {
  if (ways_ != nullptr) {
    LBOX_RETURN_IF_ERROR(ways_->Deliver(warning));
  }
  wire::GrowthWarning message;
  Fill(warning, &message);
  LBOX_RETURN_IF_ERROR(
      ledger_.PutValue(WarningKey(warning.account, warning.number), message.SerializeAsString()));
  return warning.number <= kWarningsKept
             ? Status()
             : ledger_.RemoveValue(WarningKey(warning.account, warning.number - kWarningsKept));
}

}  // namespace hosting

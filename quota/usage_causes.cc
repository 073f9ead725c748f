#include "quota/usage_causes.h"

#include "quota/billing_calendar.h"
#include "quota/bytes.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr uint64_t kMost = 1ULL << 60;  // of one report

std::string Key(const std::string& account, const std::string& month) {
  return "cause/" + account + '\0' + month;
}

std::string Key(const std::string& account, const std::string& time_zone, int64_t now) {
  return Key(account, TimeZone::Of(time_zone).DayOf(now).Month());
}

std::string EverKey(const std::string& account) {
  return "caused/" + account;
}

Result<CauseSums> SumsAt(Ledger& ledger, const std::string& key) {
  CauseSums sums;
  const auto value = ledger.GetValue(key);
  if (!value.ok()) {
    return value.status().code() == Code::kNotFound ? Result<CauseSums>(sums)
                                                    : Result<CauseSums>(value.status());
  }
  ByteReader in(*value);
  for (uint64_t* sum : {&sums.delivered, &sums.saved, &sums.removed_pop3, &sums.removed_imap,
                        &sums.removed_retention, &sums.refused}) {
    *sum = in.Number<uint64_t>();
  }
  return sums;
}

Status AddTo(Ledger& ledger, const std::string& key, const uint64_t (&more)[6]) {
  LBOX_ASSIGN_OR_RETURN(const CauseSums sums, SumsAt(ledger, key));
  ByteWriter out;
  size_t i = 0;
  for (const uint64_t sum : {sums.delivered, sums.saved, sums.removed_pop3, sums.removed_imap,
                             sums.removed_retention, sums.refused}) {
    out.Number<uint64_t>(sum + more[i++]);
  }
  return ledger.PutValue(key, out.bytes());
}

}  // namespace

Result<CauseSums> CausesEver(Ledger& ledger, const std::string& account) {
  return SumsAt(ledger, EverKey(account));
}

Result<CauseSums> CausesOf(Ledger& ledger, const std::string& account, const std::string& time_zone,
                           int64_t now) {
  return SumsAt(ledger, Key(account, time_zone, now));
}

Status AddCauses(Ledger& ledger, const std::string& account, const std::string& time_zone,
                 int64_t now, const wire::Cause& cause) {
  const uint64_t more[] = {cause.delivered(),         cause.saved(),
                           cause.removed_pop3(),      cause.removed_imap(),
                           cause.removed_retention(), cause.refused()};
  bool any = false;
  for (const uint64_t amount : more) {
    any = any || amount != 0;
    if (amount > kMost) {
      return {};  // no figure
    }
  }
  if (!any) {
    return {};
  }
  LBOX_RETURN_IF_ERROR(AddTo(ledger, EverKey(account), more));
  return AddTo(ledger, Key(account, time_zone, now), more);
}

Status RemoveCauses(Ledger& ledger, const std::string& account, const std::string& month) {
  return ledger.RemoveValue(Key(account, month));
}

}  // namespace hosting

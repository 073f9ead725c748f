#include "quota/billing.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "quota/billing_days.h"
#include "quota/billing_invoice.h"
#include "quota/bytes.h"
#include "quota/ledger_rows.h"
#include "quota/usage_causes.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr int64_t kHour = 3600;
constexpr int64_t kJump = 3600;  // seconds
constexpr int64_t kDoubtMs = 10 * 60 * 1000;
constexpr int64_t kWrongHours = 31 * 24;
constexpr size_t kAccountsATick = 100;
constexpr size_t kNamesAPage = 100;
constexpr size_t kMostReplyBytes = 48 * 1024;
constexpr int kKeptMonths = 13;
constexpr std::string_view kDoneKey = "service/billed-hour";

std::string InvoicePrefix(const std::string& month) {
  return "invoice/" + month + '\0';
}

// The month `by` months after YYYY-MM.
std::string MonthAfter(const std::string& month, int by) {
  const int number = atoi(month.substr(0, 4).c_str()) * 12 + atoi(month.substr(5).c_str()) - 1 + by;
  return CalendarDay{number / 12, static_cast<unsigned>(number % 12 + 1), 1}.Month();
}

bool IsMonth(const std::string& text) {
  if (text.size() != 7 || text[4] != '-') {
    return false;
  }
  for (const size_t i : {0U, 1U, 2U, 3U, 5U, 6U}) {
    if (text[i] < '0' || text[i] > '9') {
      return false;
    }
  }
  const int month = atoi(text.substr(5).c_str());
  return month >= 1 && month <= 12;
}

}  // namespace

bool Billing::Believe(int64_t now, int64_t boot_ms) {
  if (last_now_ != 0) {
    const int64_t expected = last_now_ + (boot_ms - last_boot_ms_) / 1000;
    if (std::abs(now - expected) > kJump) {
      doubt_until_ms_ = boot_ms + kDoubtMs;
      log_(LogLevel::kWarning, "the clock jumped by " + std::to_string(now - expected) +
                                   " s: no samples are taken for ten minutes");
    }
  }
  last_now_ = now;
  last_boot_ms_ = boot_ms;
  return boot_ms >= doubt_until_ms_;
}

Result<int64_t> Billing::DoneHour() {
  if (!done_hour_) {
    const auto value = ledger_.GetValue(kDoneKey);
    if (!value.ok() && value.status().code() != Code::kNotFound) {
      return value.status();
    }
    done_hour_ = value.ok() ? ByteReader(*value).Number<int64_t>() : 0;
  }
  return *done_hour_;
}

Result<std::string> Billing::ZoneOf(const std::string& account) {
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account));
  return effective && effective->account != nullptr ? effective->account->time_zone
                                                    : std::string("UTC");
}

Status Billing::Tick(int64_t now, int64_t boot_ms) {
  const int64_t hour = now / kHour;
  const bool first = last_now_ == 0;
  const bool believed = Believe(now, boot_ms);
  LBOX_ASSIGN_OR_RETURN(const int64_t done, DoneHour());
  if (first && done != 0 && (hour < done || hour - done > kLongestGapHours)) {
    doubt_until_ms_ = boot_ms + kDoubtMs;
    log_(LogLevel::kWarning,
         "the clock is far from where it was when samples were taken last: none for ten minutes");
    return {};
  }
  if (!believed || (hour <= done && done <= hour + kWrongHours)) {
    return {};
  }
  if (pass_hour_ != hour) {
    pass_hour_ = hour;
    cursor_.clear();
  }
  std::vector<std::pair<std::string, AccountTotals>> slice;
  LBOX_RETURN_IF_ERROR(
      ledger_.ForEachAccount(cursor_, [&](std::string_view account, const AccountTotals& totals) {
        slice.emplace_back(account, totals);
        return slice.size() < kAccountsATick;
      }));
  for (const auto& [account, totals] : slice) {
    LBOX_RETURN_IF_ERROR(Sample(account, totals, hour));
    if (hourly_) {
      LBOX_RETURN_IF_ERROR(hourly_(account));
    }
    cursor_ = account;
  }
  if (slice.size() < kAccountsATick) {
    done_hour_ = hour;
    ByteWriter value;
    value.Number<int64_t>(hour);
    return ledger_.PutValue(kDoneKey, value.bytes());
  }
  return {};
}

Status Billing::Sample(const std::string& account, const AccountTotals& totals, int64_t hour) {
  LBOX_ASSIGN_OR_RETURN(const std::string zone_name, ZoneOf(account));
  const TimeZone zone = TimeZone::Of(zone_name);
  LBOX_ASSIGN_OR_RETURN(const bool added, AddSample(ledger_, account, zone, hour,
                                                    totals.mail + totals.web + totals.external));
  return added ? CloseMonths(account, zone.DayOf(hour * kHour).Month()) : Status();
}

Status Billing::CloseMonths(const std::string& account, const std::string& current_month) {
  LBOX_ASSIGN_OR_RETURN(BillingState state, GetBillingState(ledger_, account));
  if (state.open_month >= current_month) {
    return {};
  }
  for (; state.open_month < current_month; state.open_month = MonthAfter(state.open_month, 1)) {
    LBOX_ASSIGN_OR_RETURN(auto invoice, InvoiceOf(account, state.open_month));
    if (invoice && !invoice->final()) {
      invoice->set_final(true);
      LBOX_RETURN_IF_ERROR(ledger_.PutValue(InvoicePrefix(state.open_month) + account,
                                            invoice->SerializeAsString()));
    }
    const std::string old = MonthAfter(state.open_month, -kKeptMonths);
    LBOX_RETURN_IF_ERROR(RemoveBillingMonth(ledger_, account, old));
    LBOX_RETURN_IF_ERROR(RemoveCauses(ledger_, account, old));
  }
  return PutBillingState(ledger_, account, state);
}

Result<std::optional<wire::Invoice>> Billing::InvoiceOf(const std::string& account,
                                                        const std::string& month) {
  wire::Invoice invoice;
  const auto kept = ledger_.GetValue(InvoicePrefix(month) + account);
  if (kept.ok()) {
    if (!invoice.ParseFromString(*kept)) {
      return Status(Code::kCorruption, "the invoice of account \"" + Printable(account) +
                                           "\" for " + month + " cannot be read");
    }
    return std::optional(invoice);
  }
  if (kept.status().code() != Code::kNotFound) {
    return kept.status();
  }
  std::vector<BillingDay> days;
  LBOX_RETURN_IF_ERROR(ForEachBillingDay(ledger_, account, month,
                                         [&](const BillingDay& day) { days.push_back(day); }));
  if (days.empty()) {
    return std::optional<wire::Invoice>();
  }
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account));
  LBOX_RETURN_IF_ERROR(MakeInvoice(account, month, effective, days, invoice));
  return std::optional(invoice);
}

Status Billing::Answer(const wire::InvoiceQuery& query, int64_t now, wire::AdminResult& result) {
  (void)now;
  if (!IsMonth(query.month())) {
    return Status(Code::kInvalid, "a month is YYYY-MM");
  }
  if (!query.account().empty()) {
    LBOX_ASSIGN_OR_RETURN(const auto invoice, InvoiceOf(query.account(), query.month()));
    if (!invoice) {
      return Status(Code::kNotFound, "no sample of that account in that month");
    }
    *result.add_invoices() = *invoice;
    return {};
  }
  const std::string prefix = InvoicePrefix(query.month());
  std::string after = query.after();
  size_t bytes = 0;
  for (;;) {
    // Accounts that have rows, and those that only have an invoice: of both lists what lies before
    // the end of either.
    std::vector<std::string> names, invoiced;
    LBOX_RETURN_IF_ERROR(
        ledger_.ForEachAccount(after, [&](std::string_view account, const AccountTotals&) {
          names.emplace_back(account);
          return names.size() < kNamesAPage;
        }));
    LBOX_RETURN_IF_ERROR(ledger_.ForEachValue(prefix, after.empty() ? "" : prefix + after,
                                              [&](std::string_view key, std::string_view) {
                                                invoiced.emplace_back(key.substr(prefix.size()));
                                                return invoiced.size() < kNamesAPage;
                                              }));
    const bool more = names.size() == kNamesAPage || invoiced.size() == kNamesAPage;
    std::optional<std::string> end;
    for (const auto& list : {names, invoiced}) {
      if (list.size() == kNamesAPage) {
        end = end ? std::min(*end, list.back()) : list.back();
      }
    }
    names.insert(names.end(), invoiced.begin(), invoiced.end());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    if (end) {
      names.erase(std::upper_bound(names.begin(), names.end(), *end), names.end());
    }
    for (const std::string& account : names) {
      LBOX_ASSIGN_OR_RETURN(const auto invoice, InvoiceOf(account, query.month()));
      if (invoice) {
        bytes += invoice->ByteSizeLong() + 8;
        if (bytes > kMostReplyBytes) {
          result.set_more(true);
          return {};
        }
        *result.add_invoices() = *invoice;
      }
      after = account;
    }
    if (!more) {
      return {};
    }
  }
}

}  // namespace hosting

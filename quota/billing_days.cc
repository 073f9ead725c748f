#include "quota/billing_days.h"

#include <algorithm>
#include <vector>

#include "quota/bytes.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr int64_t kHour = 3600;
// A last sample that far in the future was taken while the clock was wrong.
constexpr int64_t kWrongHours = 31 * 24;

std::string StateKey(const std::string& account) {
  return "billing/" + account;
}

std::string DayPrefix(const std::string& account, const std::string& month) {
  return "day/" + account + '\0' + month;
}

std::string DayKey(const std::string& account, const CalendarDay& day) {
  return "day/" + account + '\0' + day.Text();
}

std::string Encode(const BillingDay& day) {
  ByteWriter out;
  out.Number<uint64_t>(day.highest);
  out.Number<int64_t>(day.highest_at);
  out.Number<uint64_t>(static_cast<uint64_t>(day.sum));
  out.Number<uint64_t>(static_cast<uint64_t>(day.sum >> 64));
  out.Number<uint32_t>(day.number);
  out.Number<uint64_t>(day.last);
  out.Number<int64_t>(day.last_at);
  return out.Take();
}

BillingDay Decode(std::string_view bytes) {
  ByteReader in(bytes);
  BillingDay day;
  day.highest = in.Number<uint64_t>();
  day.highest_at = in.Number<int64_t>();
  day.sum = in.Number<uint64_t>();
  day.sum |= static_cast<WideBytes>(in.Number<uint64_t>()) << 64;
  day.number = in.Number<uint32_t>();
  day.last = in.Number<uint64_t>();
  day.last_at = in.Number<int64_t>();
  return day;
}

Status AddToDay(Ledger& ledger, const std::string& account, const CalendarDay& date, uint64_t bytes,
                int64_t first_at, uint32_t hours) {
  const std::string key = DayKey(account, date);
  BillingDay day;
  const auto value = ledger.GetValue(key);
  if (value.ok()) {
    day = Decode(*value);
  } else if (value.status().code() != Code::kNotFound) {
    return value.status();
  }
  day.Add(bytes, first_at, hours);
  return ledger.PutValue(key, Encode(day));
}

// The hours from `from` up to but not `to`, all with the same amount.
Status AddHours(Ledger& ledger, const std::string& account, const TimeZone& zone, int64_t from,
                int64_t to, uint64_t bytes) {
  while (from < to) {
    const int64_t at = from * kHour;
    const int64_t next_day = (zone.NextDay(at) + kHour - 1) / kHour;
    const int64_t end = std::max(from + 1, std::min(to, next_day));
    LBOX_RETURN_IF_ERROR(
        AddToDay(ledger, account, zone.DayOf(at), bytes, at, static_cast<uint32_t>(end - from)));
    from = end;
  }
  return {};
}

}  // namespace

void BillingDay::Add(uint64_t bytes, int64_t first_at, uint32_t hours) {
  if (number == 0 || bytes > highest) {
    highest = bytes;
    highest_at = first_at;
  }
  sum += static_cast<WideBytes>(bytes) * hours;
  number += hours;
  last = bytes;
  last_at = first_at + static_cast<int64_t>(hours - 1) * kHour;
}

uint64_t BillingDay::Mean() const {
  return number == 0 ? 0 : static_cast<uint64_t>(sum / number);
}

Result<BillingState> GetBillingState(Ledger& ledger, const std::string& account) {
  const auto value = ledger.GetValue(StateKey(account));
  if (!value.ok()) {
    return value.status();
  }
  ByteReader in(*value);
  BillingState state;
  state.hour = in.Number<int64_t>();
  state.bytes = in.Number<uint64_t>();
  state.open_month = in.Bytes(in.left());
  return state;
}

Status PutBillingState(Ledger& ledger, const std::string& account, const BillingState& state) {
  ByteWriter out;
  out.Number<int64_t>(state.hour);
  out.Number<uint64_t>(state.bytes);
  out.Bytes(state.open_month);
  return ledger.PutValue(StateKey(account), out.bytes());
}

Result<bool> AddSample(Ledger& ledger, const std::string& account, const TimeZone& zone,
                       int64_t hour, uint64_t bytes) {
  const auto before = GetBillingState(ledger, account);
  if (!before.ok() && before.status().code() != Code::kNotFound) {
    return before.status();
  }
  BillingState state;
  if (before.ok()) {
    state = *before;
    if (state.hour >= hour && state.hour <= hour + kWrongHours) {
      return false;
    }
    if (state.hour < hour && hour - state.hour <= kLongestGapHours) {
      LBOX_RETURN_IF_ERROR(AddHours(ledger, account, zone, state.hour + 1, hour, state.bytes));
    }
  } else {
    state.open_month = zone.DayOf(hour * kHour).Month();
  }
  LBOX_RETURN_IF_ERROR(AddHours(ledger, account, zone, hour, hour + 1, bytes));
  state.hour = hour;
  state.bytes = bytes;
  LBOX_RETURN_IF_ERROR(PutBillingState(ledger, account, state));
  return true;
}

Status ForEachBillingDay(Ledger& ledger, const std::string& account, const std::string& month,
                         const std::function<void(const BillingDay&)>& visit) {
  return ledger.ForEachValue(DayPrefix(account, month), "",
                             [&](std::string_view, std::string_view value) {
                               visit(Decode(value));
                               return true;
                             });
}

Status RemoveBillingMonth(Ledger& ledger, const std::string& account, const std::string& month) {
  std::vector<std::string> keys;
  LBOX_RETURN_IF_ERROR(ledger.ForEachValue(DayPrefix(account, month), "",
                                           [&](std::string_view key, std::string_view) {
                                             keys.emplace_back(key);
                                             return true;
                                           }));
  for (const std::string& key : keys) {
    LBOX_RETURN_IF_ERROR(ledger.RemoveValue(key));
  }
  return {};
}

}  // namespace hosting

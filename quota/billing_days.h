// Samples of an account's usage: one an hour, kept as one record a calendar day of the account.
//
// Purpose: what invoices are computed from: of each day the highest sample and when, their sum and
// number, and the last one. Ownership: values of the ledger. Process rules: the ledger's. Failure
// modes: Status of the ledger.
// Crash rule: an hour is added together with the note that it was, so it counts once. Hours in
// which nobody took samples (the service was down) count with the last sample before them: nothing
// was reported meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "quota/billing_calendar.h"
#include "quota/ledger.h"

namespace hosting {

__extension__ using WideBytes = unsigned __int128;

// Samples that are hours apart at most so much are one series; what lies between is filled in.
constexpr int64_t kLongestGapHours = 62 * 24;

struct BillingDay {
  uint64_t highest = 0;    // bytes
  int64_t highest_at = 0;  // Unix seconds
  WideBytes sum = 0;       // bytes, of all samples
  uint32_t number = 0;     // of samples
  uint64_t last = 0;       // bytes
  int64_t last_at = 0;     // Unix seconds

  // number samples of the same amount, the first at `first_at`, hours apart.
  void Add(uint64_t bytes, int64_t first_at, uint32_t hours);
  [[nodiscard]] uint64_t Mean() const;  // bytes, rounded down
  friend bool operator==(const BillingDay&, const BillingDay&) = default;
};

// Of an account, between samples.
struct BillingState {
  int64_t hour = 0;        // the last one that was sampled: Unix seconds / 3600
  uint64_t bytes = 0;      // that sample
  std::string open_month;  // YYYY-MM: the earliest one without an invoice
};

Result<BillingState> GetBillingState(Ledger& ledger, const std::string& account);  // kNotFound
Status PutBillingState(Ledger& ledger, const std::string& account, const BillingState& state);

// Adds the sample of an hour, and those that are missing before it. False: it had been added.
Result<bool> AddSample(Ledger& ledger, const std::string& account, const TimeZone& zone,
                       int64_t hour, uint64_t bytes);
// Days of a month (YYYY-MM), in order.
Status ForEachBillingDay(Ledger& ledger, const std::string& account, const std::string& month,
                         const std::function<void(const BillingDay&)>& visit);
Status RemoveBillingMonth(Ledger& ledger, const std::string& account, const std::string& month);

}  // namespace hosting

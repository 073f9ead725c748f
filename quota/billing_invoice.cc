#include "quota/billing_invoice.h"

#include <algorithm>

#include "quota/size.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

// The sample of a day that speaks for it under a basis.
void AddDay(Basis basis, const BillingDay& day, wire::Invoice& invoice) {
  wire::Sample& sample = *invoice.add_samples();
  switch (basis) {
    case Basis::kPeak:
      sample.set_at(day.highest_at);
      sample.set_bytes(day.highest);
      break;
    case Basis::kAverage:
      sample.set_at(day.last_at);
      sample.set_bytes(day.Mean());
      break;
    case Basis::kEnd:
      sample.set_at(day.last_at);
      sample.set_bytes(day.last);
      break;
  }
}

}  // namespace

uint64_t BasisBytes(Basis basis, const std::vector<BillingDay>& days) {
  uint64_t highest = 0;
  WideBytes sum = 0;
  for (const BillingDay& day : days) {
    highest = std::max(highest, day.highest);
    sum += day.Mean();
  }
  switch (basis) {
    case Basis::kAverage:
      return days.empty() ? 0 : static_cast<uint64_t>(sum / days.size());
    case Basis::kEnd:
      return days.empty() ? 0 : days.back().last;
    case Basis::kPeak:
      break;
  }
  return highest;
}

uint64_t Units(uint64_t overage, uint64_t per, Rounding rounding) {
  if (per == 0) {
    return 0;
  }
  const uint64_t rest = overage % per;
  switch (rounding) {
    case Rounding::kUp:
      return overage / per + (rest != 0 ? 1 : 0);
    case Rounding::kNearest:
      return overage / per + (rest >= per - rest && rest != 0 ? 1 : 0);
    case Rounding::kDown:
      break;
  }
  return overage / per;
}

Status MakeInvoice(const std::string& account, const std::string& month,
                   const std::optional<Effective>& effective, const std::vector<BillingDay>& days,
                   wire::Invoice& invoice) {
  const Package* const package = effective ? effective->package : nullptr;
  const Overage overage = package != nullptr && package->overage ? *package->overage : Overage();
  invoice.set_account(account);
  invoice.set_month(month);
  invoice.set_basis(NameOf(overage.basis));
  invoice.set_basis_bytes(BasisBytes(overage.basis, days));
  for (const BillingDay& day : days) {
    AddDay(overage.basis, day, invoice);
  }
  if (package == nullptr) {
    return {};
  }
  invoice.set_package(package->name);
  invoice.set_limit(effective->limit);
  if (effective->limit != 0 && invoice.basis_bytes() > effective->limit) {
    invoice.set_overage(invoice.basis_bytes() - effective->limit);
  }
  if (package->overage) {
    invoice.set_units(Units(invoice.overage(), overage.per, overage.rounding));
    invoice.set_per(FormatSize(overage.per));
    invoice.set_price(overage.price.Format());
    invoice.set_currency(overage.currency);
    LBOX_ASSIGN_OR_RETURN(const Money amount, overage.price.Times(invoice.units()));
    invoice.set_amount(amount.Format());
  }
  return {};
}

}  // namespace hosting

// An invoice row, computed from a month's days.
//
// Purpose: basis, overage, units and amount as the package says (docs/packages.md, "overage").
// Ownership: values. Process rules: none. Failure modes: kInvalid for an amount that no Money can
// hold. Crash rule: none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "quota/billing_days.h"
#include "quota/policy.h"
#include "quota/status.h"

namespace hosting {

namespace wire {
class Invoice;
}

// Bytes by which a package is charged: peak is the highest sample of all, average the mean of the
// days' means, end the last sample.
uint64_t BasisBytes(Basis basis, const std::vector<BillingDay>& days);
uint64_t Units(uint64_t overage, uint64_t per, Rounding rounding);

// effective: none when no package is known; then nothing is charged. days: not empty.
Status MakeInvoice(const std::string& account, const std::string& month,
                   const std::optional<Effective>& effective, const std::vector<BillingDay>& days,
                   wire::Invoice& invoice);

}  // namespace hosting

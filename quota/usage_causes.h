// Why an account's mail grew and shrank, and what was refused, by calendar month of the account and
// altogether.
//
// Purpose: sums of what reports say of their causes: for growth and for trying a limit out
// (over_limit = "report"), never for totals. A report that is sent again after an outage may be
// added twice. Ownership: values of the ledger. Process rules: as the ledger's. Failure modes: its
// Status. Crash rule: its.
#pragma once

#include <cstdint>
#include <string>

#include "quota/ledger.h"

namespace hosting {

namespace wire {
class Cause;
}

struct CauseSums {
  uint64_t delivered = 0, saved = 0;                                   // bytes
  uint64_t removed_pop3 = 0, removed_imap = 0, removed_retention = 0;  // bytes
  uint64_t refused = 0;                                                // messages
};

Status AddCauses(Ledger& ledger, const std::string& account, const std::string& time_zone,
                 int64_t now, const wire::Cause& cause);
// Since the account was first seen: sums that only grow, so that whoever notes them now and then
// misses nothing in between.
Result<CauseSums> CausesEver(Ledger& ledger, const std::string& account);
// Of the month of `now` (Unix seconds).
Result<CauseSums> CausesOf(Ledger& ledger, const std::string& account, const std::string& time_zone,
                           int64_t now);
// Of a month YYYY-MM.
Status RemoveCauses(Ledger& ledger, const std::string& account, const std::string& month);

}  // namespace hosting

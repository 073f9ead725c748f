// Answers to doveadm's questions about usage, a frame's worth a time.
//
// Purpose: wire::AdminResult of accounts and of one account's sources. Ownership: none. Process
// rules: reads ledger and policy only. Failure modes: Status of the ledger; kNotFound for an
// account that neither ledger nor policy knows. Crash rule: none.
#pragma once

#include <cstdint>

#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "usage.pb.h"

namespace hosting {

Status AnswerUsage(Ledger& ledger, UsageAccounts& accounts, const wire::UsageQuery& query,
                   int64_t now, wire::AdminResult& result);

}  // namespace hosting

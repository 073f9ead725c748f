// UsageWeb: rows of web roots and of external sources, and which of them still count.
//
// Purpose: takes the web meter's and external figures; fills the meter's schedule; removes rows of
// roots and sources that the policy does not name any more, and moves mail rows whose domain went
// to another account. Ownership: of UsageService. Process rules: one thread, the clock is passed
// in. Failure modes: Status; kNotFound when the policy knows no such root or source. Crash rule:
// the ledger's.
#pragma once

#include <cstdint>
#include <string>

#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "quota/usage_log.h"
#include "quota/usage_mail.h"
#include "quota/usage_schedule.h"

namespace hosting {

namespace wire {
class Measured;
}

class UsageWeb {
 public:
  UsageWeb(Ledger& ledger, UsageAccounts& accounts, WebSchedule& schedule, UsageLog log)
      : ledger_(ledger), accounts_(accounts), schedule_(schedule), log_(std::move(log)) {}

  // After a change of the policy, and at the start.
  Status FollowPolicy(UsageMail& mail, int64_t now);
  Status TakeWeb(const wire::Measured& measured, int64_t now);
  Status TakeExternal(const std::string& account, const std::string& source, uint64_t bytes,
                      int64_t now);

 private:
  Status Plan(const Account& account, int64_t now);
  Status Prune(const std::string& account, UsageMail& mail);

  Ledger& ledger_;
  UsageAccounts& accounts_;
  WebSchedule& schedule_;
  UsageLog log_;
};

}  // namespace hosting

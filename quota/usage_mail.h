// UsageMail: the mail rows of the ledger: which reports count, and who has to be counted again.
//
// Purpose: the version rules, the marks of open sessions, and what the end of a session means
// (docs/ledger.md, "Versions and recounts"). Ownership: of UsageService. Process rules: one thread;
// the clock is passed in. Failure modes: Status of the ledger; then nothing was decided, and the
// client keeps its report. Crash rule: a session's mark is in the ledger before its Welcome leaves.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "quota/usage_log.h"
#include "quota/usage_recount.h"

namespace hosting {

namespace wire {
class Report;
}

constexpr int64_t kReturnSeconds = 30;  // for sessions to come back after a restart of the service

class UsageMail {
 public:
  struct Clock {
    std::function<int64_t()> now;      // Unix seconds
    std::function<int64_t()> boot_ms;  // ms, never set back
    int64_t return_seconds = kReturnSeconds;
    // ms by which `now` is believed to have gone on; empty: boot_ms
    std::function<int64_t()> passed_ms = {};
  };
  // What a report is allowed and known to be.
  struct Claim {
    bool trusted = false;                // else the figure is a hint
    std::optional<uint64_t> counter_at;  // of the row when the reporting session began
  };
  enum class Outcome { kTaken, kRecount, kInvalid };
  struct Place {
    std::string account;
    bool by_userdb = false;
  };

  UsageMail(Ledger& ledger, UsageAccounts& accounts, RecountQueue& recounts, Clock clock,
            UsageLog log)
      : ledger_(ledger),
        accounts_(accounts),
        recounts_(recounts),
        clock_(std::move(clock)),
        log_(std::move(log)) {}

  // At the start: rows with open sessions are given time to come back, flagged ones are queued.
  // all_unsure: the machine went down without notice, so all mail is to be counted.
  Status Start(bool all_unsure);
  // Once a second.
  Status Tick();

  // A session begins. Moves the user's row when it was in another account. counts: the end of this
  // session without Bye would matter; returning: it began before the service did. Gives the row.
  Result<SourceRow> Open(const std::string& user, const Place& place, bool counts, bool returning);
  // It ended as it should, or was lost, or was sent away and may come back.
  Status Close(const std::string& user, const std::string& account);
  Status Lose(const std::string& user, const std::string& account);
  // A session that the service never saw may have changed mail and died.
  Status Suspect(const std::string& user, const std::string& account);
  Status SendAway(const std::string& user, const std::string& account);

  Result<Outcome> Take(const std::string& user, const std::string& account,
                       const wire::Report& report, const Claim& claim);

  // Marks a row for a recount, each message's size included. kNotFound: there is none.
  Status Recount(const std::string& user, const std::string& account);
  // Queues those users of an account whose regular recount is due: what lbox does not keep may be
  // changed behind Dovecot.
  Status QueueDue(const std::string& account);
  void Counted(const std::string& user, bool ok);
  // The user is no more.
  Status Forget(const std::string& user);
  // Where the user's row is; kNotFound when there is none.
  Result<Place> PlaceOf(const std::string& user);
  Status Move(const std::string& user, const Place& to);

 private:
  struct Orphans {
    uint32_t sessions = 0;
    int64_t until_ms = 0;
  };

  Status PutRow(const std::string& user, const std::string& account, const SourceRow& row);
  Status Flag(const std::string& user, const std::string& account, SourceRow row,
              RecountQueue::Urgency urgency);
  Status Ended(const std::string& user, const std::string& account, bool lost);
  void TakeRecounted(const std::string& user, const wire::Report& report, const Claim& claim,
                     SourceRow& row);

  Ledger& ledger_;
  UsageAccounts& accounts_;
  RecountQueue& recounts_;
  Clock clock_;
  UsageLog log_;
  std::map<std::string, Orphans> orphans_;  // sessions of before a restart
};

}  // namespace hosting

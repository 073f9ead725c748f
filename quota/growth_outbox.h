// GrowthOutbox: growth warnings on their way to the customer (docs/growth.md, "How customers are
// told").
//
// Purpose: takes each due warning on, as rows of the ledger: mail and script wait for hosting-warn
// (growth_link.h), IMAP's alert for the next session or APPEND; events and log lines are announced.
// What is limited is limited here, by rows, so that many connections, restarts and crashes make no
// difference. Ownership: of UsageService. Process rules: one thread, no I/O but the ledger's; time
// is passed in. Failure modes: Status of the ledger. Crash rule: what is handed out is marked
// before it leaves (Save and Commit are the caller's). After a crash, mail to a mailbox is handed
// out again, with the same Message-ID, and is not delivered where it is found; mail to others and
// scripts are not repeated, since nobody could tell whether they were done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quota/growth_warning.h"
#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "quota/usage_log.h"
#include "usage.pb.h"

namespace hosting {

constexpr size_t kWarnedMailboxes = 5;  // the largest of an account

class GrowthOutbox : public GrowthWays {
 public:
  using Way = wire::WarnTask::Way;

  // What is told at once, when the ledger has saved it.
  struct Announcement {
    GrowthWarning warning;
    bool event = false, log = false;
  };

  // helper: whether there is a hosting-warn; without it nothing is put into its queue.
  GrowthOutbox(Ledger& ledger, UsageAccounts& accounts, bool helper, UsageLog log)
      : ledger_(ledger), accounts_(accounts), helper_(helper), log_(std::move(log)) {}

  Status Deliver(const GrowthWarning& warning) override;
  // Whatever was sent before: for the operator's trial. Returns how many deliveries wait.
  Result<size_t> DeliverTrial(const GrowthWarning& warning);
  // Once saved: in the order of Deliver.
  std::vector<Announcement> TakeAnnouncements() { return std::exchange(announcements_, {}); }

  // The line for a user's IMAP session, printable ASCII; empty: none now. One that is given is
  // noted: none follows for a day.
  Result<std::string> Alert(const std::string& user, const Effective& effective, int64_t now);

  // The next delivery of a way that is due and not handed out; it is marked.
  Result<std::optional<wire::WarnJob>> Take(Way way, int64_t now);
  // What became of it.
  Status Done(const wire::WarnDone& done, int64_t now);
  // The helper was lost with this job, or never got it.
  Status Lost(uint64_t id, bool sent, int64_t now);

  // Once a second: rows that are of no use any more go.
  Status Tick(int64_t now);
  [[nodiscard]] Result<size_t> waiting();       // deliveries, those under way among them
  [[nodiscard]] std::string under_way() const;  // "mail, script"; "none"

 private:
  struct Out {
    std::string key;
    wire::WarnTask task;
  };

  Status Queue(const GrowthWarning& warning, const Effective& effective, bool mail);
  Status QueueMail(const GrowthWarning& warning, const Effective& effective);
  Status Put(const wire::WarnTask& task);
  Result<std::vector<std::pair<std::string, uint64_t>>> LargestSources(const std::string& account,
                                                                       bool mail_only);
  Result<wire::WarnJob> JobOf(uint64_t id, const wire::WarnTask& task);
  Status Retry(const Out& out, int64_t now, const std::string& why);
  void Note(LogLevel level, const wire::WarnTask& task, const std::string& what);

  Ledger& ledger_;
  UsageAccounts& accounts_;
  bool helper_;
  UsageLog log_;
  std::vector<Announcement> announcements_;
  std::optional<Out> out_[wire::WarnTask::Way_ARRAYSIZE];
  uint64_t out_id_[wire::WarnTask::Way_ARRAYSIZE] = {};
  uint64_t next_id_ = 1;
  size_t queued_ = 0;  // by the last Deliver
  std::string swept_;  // the last key that was looked at
  int64_t swept_at_ = 0;
};

}  // namespace hosting

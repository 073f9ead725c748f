// UsageClient: a mail process's side of the connection to hosting-usage.
//
// Purpose: the figures of the user's account (from the mapped page) and reports that never delay
// mail. Ownership: one client a user session, made after the switch to the mail uid, never used
// across a fork. Owns its descriptors and maps. Process rules: one thread; no call blocks longer
// than kCallLimit. The event loop of the caller watches fd() when it is >= 0 and calls Pump(); the
// descriptor changes with a reconnect. An outage is noted once for all clients of a process.
// Failure modes: the service may be away, hang, or restart at any time: reports are kept (the
// newest only, since they are absolute), sent again after a reconnect, and at the end of the
// session written into the spool folder when they could not be delivered. Crash rule: a process
// that dies leaves its connection without Bye, or, where there was none, the mark that BeforeChange
// left in the spool folder; either has the user recounted.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "quota/account_page.h"
#include "quota/client_outage.h"
#include "quota/pop3_rules.h"
#include "quota/status.h"

namespace hosting {

constexpr std::chrono::milliseconds kCallLimit{50};

struct SessionUser {
  std::string user, service;
  std::string account, package;  // userdb fields; empty: the policy knows
  std::optional<uint64_t> extra_space, mailbox_limit;
};

struct MailAmount {
  uint64_t bytes = 0, messages = 0, disk = 0;
  uint8_t instance[16] = {};
  uint64_t counter = 0;
  bool recounted = false;
};

// Bytes by cause since the last report.
struct Causes {
  uint64_t delivered = 0, saved = 0, removed_pop3 = 0, removed_imap = 0, removed_retention = 0,
           refused = 0;
};

// What is about to be added to the account.
struct Demand {
  uint64_t bytes = 0, messages = 0;
};

// Where figures come from, and how far they may be trusted.
enum class Trust { kLive, kLastKnown, kUnknown };

struct Lookup {
  Trust trust = Trust::kUnknown;
  bool in_account = false;  // false: the user belongs to no account, nothing is limited
  AccountFigures figures;   // with kLive and kLastKnown; its mailbox_limit is this user's
};

class UsageClient {
 public:
  struct Options {
    std::string socket_path, spool_folder;
    // Seconds that last known figures count after the last sign of life, until Welcome says.
    uint32_t mail_stale_after = 900;
    std::chrono::milliseconds call_limit = kCallLimit;  // that no call blocks longer than
    std::function<int64_t()> boot_ms;                   // CLOCK_BOOTTIME in ms; empty: the system's
    std::function<int64_t()> now;                       // Unix seconds; empty: the system's
    std::function<void(const std::string&)> log;
    ClientOutage::Log outage;  // one line an outage, one when it is over
  };

  UsageClient(Options options, SessionUser user);
  ~UsageClient();  // closes without Bye: see Close()

  // Connects and says Hello when not connected (at most every second once it failed). kUnavailable
  // when the service is away.
  Status Connect();
  // Before the user's mail changes: connects. Where that fails it leaves a mark in the spool
  // folder, so that the user is recounted should the session not come to its end.
  Status BeforeChange();
  // The account's figures now, our own reports in them: one that is still on its way is waited for,
  // within the call limit; given a demand only if that fits or not by what is on its way. Connects
  // when not connected.
  Lookup Figures(const std::optional<Demand>& demand = std::nullopt);
  // Takes note of the user's whole mail and sends it without waiting.
  void Report(const MailAmount& amount, const Causes& causes);
  // Causes alone, of a session that does not know how much mail there is.
  void ReportCauses(const Causes& causes);
  // Reads what has come; sends what is left; reconnects. To be called when fd() is readable and,
  // once a second, while unreported() holds.
  void Pump();
  [[nodiscard]] int fd() const;
  [[nodiscard]] bool unreported() const;
  // What to do about unknown figures: as the last Welcome said, else as the service's heartbeat.
  [[nodiscard]] bool unavailable_tempfail() const;
  // What the last Welcome said; empty, zero or false before the first one.
  [[nodiscard]] const std::string& account() const;
  [[nodiscard]] const std::string& package() const;
  [[nodiscard]] bool over_limit_tempfail() const;
  [[nodiscard]] Pop3Rules pop3() const;
  [[nodiscard]] uint64_t grace() const;           // bytes
  [[nodiscard]] uint64_t mailbox_limit() const;   // bytes of this user's mail; 0: none
  [[nodiscard]] MailAmount mailbox() const;       // what was last known of this user then
  [[nodiscard]] int64_t web_stale_after() const;  // seconds
  // The orderly end: waits within the call limit for reports to be answered, spools the last one
  // otherwise.
  void Close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hosting

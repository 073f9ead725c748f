// UsageService: what hosting-usage's requests do. No sockets, no files but the ledger.
//
// Purpose: sessions and whom they may speak for, reports, the web meter's and external figures,
// admin requests, the policy in force. Ownership: of UsageServer (or a test); owns everything of
// the service but ledger and connections. Process rules: one thread; the clock is passed in.
// Replies are collected and leave only after Flush has made durable what they say.
// Failure modes: a failure of the ledger is logged and answered TRY_AGAIN; damage found in it is
// mended at the next Tick. Crash rule: docs/ledger.md, "What each failure does".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quota/billing.h"
#include "quota/growth_outbox.h"
#include "quota/growth_watch.h"
#include "quota/ledger.h"
#include "quota/usage_accounts.h"
#include "quota/usage_log.h"
#include "quota/usage_login.h"
#include "quota/usage_mail.h"
#include "quota/usage_recount.h"
#include "quota/usage_schedule.h"
#include "quota/usage_web.h"
#include "usage.pb.h"

namespace hosting {

using SessionId = uint64_t;

// A reply that is to leave, or a connection that is to be closed.
struct Outgoing {
  SessionId session = 0;
  wire::Reply reply;
  std::vector<int> descriptors;  // borrowed, good as long as the session is
  bool close = false;            // the connection, in place of a reply
};

class UsageService {
 public:
  struct Options {
    UsageMail::Clock clock;
    std::string boot_id;  // of the machine, as the kernel names it
    UsageLog log;
    std::function<std::string()> reload;  // for Admin.reload: reads the policy again; what to say
    std::function<std::string()> status;  // for Admin.status: what the service itself cannot know
    std::string growth_folder;            // of growth history; empty: there is none
    bool warn_helper = false;             // there is a hosting-warn
    // A growth warning that was taken on: event and log line, each where its flag is set.
    std::function<void(const GrowthOutbox::Announcement&)> announce;
  };

  UsageService(Ledger& ledger, std::shared_ptr<const LoadedPolicy> policy, Options options);
  ~UsageService();

  // Before anything else.
  Status Start();
  // The last call of an orderly end: the next start will find the ledger as it should be.
  Status Stop();

  void SetPolicy(std::shared_ptr<const LoadedPolicy> policy);
  // A connection of this uid: how many it may have is not decided here.
  void Connected(SessionId id, uint32_t uid);
  void Handle(SessionId id, const wire::Request& request);
  void Disconnected(SessionId id);
  // kTaken: durable with the next Flush. kUseless: and it never will be of any use.
  enum class SpoolAnswer { kTaken, kUseless, kLater };
  // young: the session of a mark, if it is one, may be alive.
  SpoolAnswer TakeSpooled(uint32_t uid, const wire::Spooled& spooled, bool young = false);
  // Once a second.
  void Tick();
  // At the end of a turn. After a failure none of the replies may leave.
  Status Flush();
  std::vector<Outgoing> TakeOutgoing();

  // Of the link to hosting-recount.
  std::optional<RecountQueue::Job> TakeRecount() {
    return recounts_.Take(options_.clock.boot_ms());
  }
  enum class Counted { kOk, kUnknownUser, kTryAgain };
  void RecountAnswered(const std::string& user, Counted counted);
  void RecountLost() { recounts_.Lost(options_.clock.boot_ms()); }
  // Of the link to hosting-warn.
  [[nodiscard]] GrowthOutbox& outbox() { return outbox_; }
  void CommitNow() { commit_now_ = true; }
  [[nodiscard]] size_t recounts_waiting() const { return recounts_.waiting(); }

  [[nodiscard]] const Policy& policy() const { return accounts_.policy(); }
  [[nodiscard]] int pulse_fd() const { return pulse_ ? pulse_->fd() : -1; }
  // True once the peer has said who it is.
  [[nodiscard]] bool Introduced(SessionId id) const;

 private:
  struct Session {
    uint32_t uid = 0;
    bool introduced = false;
    bool open = false;    // between Hello and Bye
    bool counts = false;  // its loss matters
    bool meter = false;
    std::string user, account;
    UserdbFields fields;
    std::string welcome;  // as sent last
    std::optional<uint64_t> counter_at;
    bool has_page = false;
  };

  void HandleHello(SessionId id, Session& session, const wire::Request& request);
  void HandleReport(SessionId id, Session& session, const wire::Request& request);
  void Count(const std::string& account, const wire::Cause& cause);
  Status Hour(const std::string& account);
  void HandleBye(SessionId id, Session& session, const wire::Request& request);
  void HandleMeasured(SessionId id, Session& session, const wire::Request& request);
  void HandleWebMeter(SessionId id, Session& session, const wire::Request& request);
  void HandleAdmin(SessionId id, Session& session, const wire::Request& request);
  void HandleLogin(SessionId id, Session& session, const wire::Request& request);
  Status Admin(const wire::Admin& admin, wire::AdminResult& result);
  Status Recalc(const wire::Recalc& recalc, wire::AdminResult& result);
  Status SetSource(const wire::SetSource& set);
  Status WarnTrial(const std::string& account, wire::AdminResult& result);

  // The account that a peer may speak of a user in. kPermission: in none.
  Result<std::optional<Effective>> Allowed(uint32_t uid, const wire::Hello& hello,
                                           UserdbFields& fields);
  Result<wire::Welcome> MakeWelcome(const Session& session,
                                    const std::optional<Effective>& effective);
  void Depart(Session& session, bool lost);
  void LetGo(Session& session);  // of its page
  void RecheckSessions();
  void Measure();

  [[nodiscard]] bool Trusted(uint32_t uid) const;  // with every user
  [[nodiscard]] bool MayCount(uint32_t uid) const;
  [[nodiscard]] bool MayAdminister(uint32_t uid) const;
  [[nodiscard]] bool MayMeasure(uint32_t uid) const;

  void Answer(SessionId id, uint64_t request);
  void Refuse(SessionId id, uint64_t request, wire::Error::Kind kind, const std::string& text);
  void Fail(SessionId id, uint64_t request, const Status& status);
  void Failed(const Status& status);  // logs, once a minute

  Ledger& ledger_;
  Options options_;
  UsageAccounts accounts_;
  RecountQueue recounts_;
  WebSchedule schedule_;
  UsageMail mail_;
  UsageWeb web_;
  std::unique_ptr<GrowthWatch> growth_;
  Billing billing_;
  LoginVerdicts logins_;
  GrowthOutbox outbox_;
  std::optional<SharedPage> pulse_;
  std::map<SessionId, Session> sessions_;
  SessionId meter_ = 0;
  std::vector<Outgoing> outgoing_;
  bool commit_now_ = false;      // replies of this turn promise more than Save does
  bool damaged_ = false;         // something in the ledger is to be mended
  int64_t committed_at_ms_ = 0;  // when the last commit ended
  int64_t commit_ms_ = 0;        // how long it took
  int64_t failure_logged_ms_ = 0;
};

}  // namespace hosting

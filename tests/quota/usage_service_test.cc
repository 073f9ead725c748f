// What requests do: who may speak for whom, which reports count, who is counted again, the web
// meter, external sources, a policy that changes. No sockets; the clock is the test's.
#include "quota/usage_service.h"

#include <gtest/gtest.h>

#include "quota/ledger_lmdb.h"
#include "quota/page_map.h"
#include "tests/quota/temp_folder.h"
#include "tests/quota/usage_policy.h"

namespace hosting {
namespace {

constexpr char kStore = 's';  // an lbox store's id, 16 times
constexpr char kClock = '\0';

class Service : public ::testing::Test {
 protected:
  Service() {
    policy_ = Loaded(TestPolicy());
    Start();
  }

  void Start() {
    auto ledger = OpenLmdbLedger(folder_.path(), 1 << 20);
    ASSERT_TRUE(ledger.ok()) << ledger.status().message();
    ledger_ = std::move(*ledger);
    UsageService::Options options;
    options.clock = {[this] { return now_; }, [this] { return boot_ms_; }};
    options.boot_id = boot_id_;
    options.log = [this](LogLevel, const std::string& text) { log_ += text + "\n"; };
    options.growth_folder = folder_.path() + "/growth";
    service_ = std::make_unique<UsageService>(*ledger_, policy_, std::move(options));
    ASSERT_TRUE(service_->Start().ok());
  }
  // As after kill -9: what was not flushed is gone.
  void Kill() {
    service_.reset();
    ledger_.reset();
    sessions_ = 0;
  }
  void Restart() {
    Kill();
    Start();
  }

  SessionId Connect(uint32_t uid = kMailUid) {
    service_->Connected(++sessions_, uid);
    return sessions_;
  }
  std::vector<Outgoing> Turn() {
    EXPECT_TRUE(service_->Flush().ok());
    return service_->TakeOutgoing();
  }
  wire::Reply Ask(SessionId id, wire::Request request) {
    request.set_id(7);
    service_->Handle(id, request);
    unasked_.clear();
    wire::Reply reply;
    for (Outgoing& out : Turn()) {
      if (out.session == id && out.reply.id() == 7) {
        reply = out.reply;
        descriptors_ = out.descriptors;
      } else {
        unasked_.push_back(out);
      }
    }
    EXPECT_EQ(reply.id(), 7U);
    return reply;
  }
  wire::Reply Hello(SessionId id, const std::string& user, const std::string& account = "",
                    const std::string& package = "", bool returning = false) {
    wire::Request request;
    request.mutable_hello()->set_user(user);
    request.mutable_hello()->set_account(account);
    request.mutable_hello()->set_package(package);
    request.mutable_hello()->set_service("imap");
    request.mutable_hello()->set_returning(returning);
    return Ask(id, request);
  }
  SessionId Session(const std::string& user, uint32_t uid = kMailUid) {
    const SessionId id = Connect(uid);
    EXPECT_TRUE(Hello(id, user).has_welcome());
    return id;
  }
  static wire::Request ReportOf(uint64_t bytes, uint64_t counter, char instance = kStore) {
    wire::Request request;
    auto& report = *request.mutable_report();
    report.mutable_usage()->set_bytes(bytes);
    report.mutable_usage()->set_messages(1);
    report.mutable_version()->set_instance(std::string(16, instance));
    report.mutable_version()->set_counter(counter);
    return request;
  }
  wire::Error::Kind Report(SessionId id, uint64_t bytes, uint64_t counter, char instance = kStore) {
    return Ask(id, ReportOf(bytes, counter, instance)).error().kind();
  }
  wire::Error::Kind Recounted(SessionId id, uint64_t bytes, uint64_t counter,
                              char instance = kStore) {
    wire::Request request = ReportOf(bytes, counter, instance);
    request.mutable_report()->set_recounted(true);
    return Ask(id, request).error().kind();
  }
  void Bye(SessionId id) {
    wire::Request request;
    request.mutable_bye();
    EXPECT_FALSE(Ask(id, request).has_error());
  }
  void End(SessionId id) {
    Bye(id);
    service_->Disconnected(id);
  }
  wire::Reply AdminAsk(const wire::Admin& admin, uint32_t uid = 0) {
    const SessionId id = Connect(uid);
    wire::Request request;
    *request.mutable_admin() = admin;
    wire::Reply reply = Ask(id, request);
    service_->Disconnected(id);
    return reply;
  }
  SourceRow Row(const std::string& user, const std::string& account) {
    const auto row = ledger_->Get({account, SourceKind::kMail, user});
    EXPECT_TRUE(row.ok()) << row.status().message();
    return row.ok() ? *row : SourceRow();
  }
  uint64_t Mail(const std::string& account) { return ledger_->Totals(account)->mail; }
  void After(int64_t seconds) {
    now_ += seconds;
    boot_ms_ += seconds * 1000;
    service_->Tick();
  }
  // What hosting-recount does when it is told to count: a session of its own.
  void CountAll(uint64_t bytes, uint64_t counter, char instance = kStore) {
    while (const auto job = service_->TakeRecount()) {
      const SessionId id = Connect(kRecountUid);
      wire::Request hello;
      hello.mutable_hello()->set_user(job->user);
      hello.mutable_hello()->set_service("hosting-recount");
      EXPECT_TRUE(Ask(id, hello).has_welcome());
      EXPECT_EQ(Recounted(id, bytes, counter, instance), wire::Error::UNSPECIFIED);
      End(id);
      service_->RecountAnswered(job->user, UsageService::Counted::kOk);
    }
  }

  TempFolder folder_;
  int64_t now_ = 1800000000, boot_ms_ = 1000000;
  std::string boot_id_ = "boot-1";
  std::string log_;
  std::shared_ptr<const LoadedPolicy> policy_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<UsageService> service_;
  SessionId sessions_ = 0;
  std::vector<Outgoing> unasked_;
  std::vector<int> descriptors_;
};

// Versions --------------------------------------------------------------------------------------

TEST_F(Service, NewerReplacesSameIsSameLateIsIgnored) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 100, 5), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(id, 200, 6), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(id, 200, 6), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(id, 100, 5), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Mail("a1"), 200U);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
}

TEST_F(Service, SessionsOfOneUserOvertakeEachOther) {
  const SessionId one = Session("ann@a1.test");
  const SessionId two = Session("ann@a1.test");
  EXPECT_EQ(Report(two, 300, 3), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(one, 200, 2), wire::Error::UNSPECIFIED) << "committed before, reported after";
  EXPECT_EQ(Mail("a1"), 300U);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
}

TEST_F(Service, RestoredStoreWaitsForARecount) {
  End(Session("ann@a1.test"));
  SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, 100), wire::Error::UNSPECIFIED);
  End(id);
  id = Session("ann@a1.test");  // over a copy of the store from before
  EXPECT_EQ(Report(id, 500, 51), wire::Error::RECOUNT);
  EXPECT_EQ(Mail("a1"), 1000U);
  EXPECT_TRUE(Row("ann@a1.test", "a1").unsure);
  CountAll(500, 51);
  EXPECT_EQ(Mail("a1"), 500U);
  EXPECT_EQ(Row("ann@a1.test", "a1").counter, 51U);
  EXPECT_FALSE(Row("ann@a1.test", "a1").unsure);
  EXPECT_EQ(Report(id, 600, 52), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Mail("a1"), 600U);
}

TEST_F(Service, ReportOfBeforeAReconnectIsLateNotRestored) {
  const SessionId one = Session("ann@a1.test");
  EXPECT_EQ(Report(one, 1000, 100), wire::Error::UNSPECIFIED);
  const SessionId two = Session("ann@a1.test");
  wire::Request request = ReportOf(900, 99);
  request.mutable_report()->set_again(true);
  EXPECT_FALSE(Ask(two, request).has_error());
  EXPECT_EQ(Mail("a1"), 1000U);
}

TEST_F(Service, AnotherInstanceWaitsForARecount) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, 100), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(id, 2000, 1, 't'), wire::Error::RECOUNT);
  EXPECT_EQ(Mail("a1"), 1000U);
  CountAll(2000, 1, 't');
  EXPECT_EQ(Mail("a1"), 2000U);
  EXPECT_EQ(Report(id, 2100, 2, 't'), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(id, 1000, 101), wire::Error::RECOUNT) << "the old store is still in use?";
}

TEST_F(Service, ClockThatWasSetBackLeadsToARecount) {
  const auto ns = [](int64_t seconds) { return static_cast<uint64_t>(seconds) * 1000000000; };
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, ns(now_ + 7200), kClock), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Report(id, 2000, ns(now_), kClock), wire::Error::RECOUNT);
  CountAll(2000, ns(now_ + 1), kClock);
  EXPECT_EQ(Mail("a1"), 2000U);
  EXPECT_EQ(Report(id, 2500, ns(now_ + 2), kClock), wire::Error::UNSPECIFIED);
}

TEST_F(Service, RecountThatWasOvertakenDoesNotGoBack) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, 10), wire::Error::UNSPECIFIED);
  service_->Disconnected(Session("ann@a1.test"));  // lost
  const auto job = service_->TakeRecount();
  ASSERT_TRUE(job);
  const SessionId counter = Connect(kRecountUid);
  wire::Request hello;
  hello.mutable_hello()->set_user("ann@a1.test");
  hello.mutable_hello()->set_service("hosting-recount");
  ASSERT_TRUE(Ask(counter, hello).has_welcome());
  EXPECT_EQ(Report(id, 1100, 11), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Recounted(counter, 1000, 10), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Mail("a1"), 1100U);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
}

TEST_F(Service, LossDuringARecountIsCountedOnceMore) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, 10), wire::Error::UNSPECIFIED);
  const SessionId other = Session("ann@a1.test");
  service_->Disconnected(Session("ann@a1.test"));
  ASSERT_TRUE(service_->TakeRecount());
  const SessionId counter = Session("ann@a1.test", kRecountUid);
  service_->Disconnected(other);  // what it did may be behind what is being counted
  EXPECT_EQ(Recounted(counter, 1000, 10), wire::Error::UNSPECIFIED);
  EXPECT_TRUE(Row("ann@a1.test", "a1").recount);
  End(counter);
  service_->RecountAnswered("ann@a1.test", UsageService::Counted::kOk);
  CountAll(1200, 12);
  EXPECT_EQ(Mail("a1"), 1200U);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
}

TEST_F(Service, NoFigureIsRefused) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1ULL << 61, 1), wire::Error::INVALID);
  wire::Request request = ReportOf(1, 1);
  request.mutable_report()->mutable_version()->set_instance("short");
  EXPECT_EQ(Ask(id, request).error().kind(), wire::Error::INVALID);
  EXPECT_EQ(Mail("a1"), 0U);
}

// Sessions and losses ---------------------------------------------------------------------------

TEST_F(Service, FirstSessionOfAnUncountedMailbox) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_TRUE(Row("ann@a1.test", "a1").recount) << "there may be mail already";
  EXPECT_EQ(service_->recounts_waiting(), 1U);
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount) << "an absolute value says it all";
  EXPECT_EQ(service_->recounts_waiting(), 0U);
}

TEST_F(Service, SessionThatIsLostIsCountedWithoutAPause) {
  SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  service_->Disconnected(id);
  EXPECT_TRUE(Row("ann@a1.test", "a1").recount);
  EXPECT_FALSE(Row("ann@a1.test", "a1").unsure);
  EXPECT_EQ(Row("ann@a1.test", "a1").open, 0U);
  CountAll(150, 2);
  EXPECT_EQ(Mail("a1"), 150U);
  id = Session("ann@a1.test");
  End(id);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
}

TEST_F(Service, AfterARestartSessionsComeBack) {
  const SessionId one = Session("ann@a1.test");
  EXPECT_EQ(Report(one, 100, 1), wire::Error::UNSPECIFIED);
  Session("ann@a1.test");
  EXPECT_EQ(Row("ann@a1.test", "a1").open, 2U);
  Restart();
  EXPECT_EQ(Mail("a1"), 100U);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Hello(Connect(), "ann@a1.test", "", "", true).has_welcome());
  }
  EXPECT_EQ(Row("ann@a1.test", "a1").open, 2U);
  After(kReturnSeconds + 1);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
  EXPECT_EQ(service_->recounts_waiting(), 0U);
}

TEST_F(Service, AfterARestartSessionsThatDoNotComeBackAreCounted) {
  EXPECT_EQ(Report(Session("ann@a1.test"), 100, 1), wire::Error::UNSPECIFIED);
  Session("ann@a1.test");
  Restart();
  // One comes back, and a new one is not the other.
  EXPECT_TRUE(Hello(Connect(), "ann@a1.test", "", "", true).has_welcome());
  Session("ann@a1.test");
  After(kReturnSeconds - 1);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
  After(2);
  EXPECT_TRUE(Row("ann@a1.test", "a1").recount);
  EXPECT_EQ(Row("ann@a1.test", "a1").open, 2U);
  CountAll(130, 3);
  EXPECT_EQ(Mail("a1"), 130U);
}

TEST_F(Service, UncleanBootCountsAllBeforeItEnforces) {
  End(Session("bob@a2.test"));
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, 10), wire::Error::UNSPECIFIED);
  boot_id_ = "boot-2";
  Restart();
  EXPECT_NE(log_.find("without notice"), std::string::npos);
  const SessionId again = Session("ann@a1.test");
  ASSERT_EQ(descriptors_.size(), 2U);
  const auto page = PageMap::ForReading(descriptors_[0]);
  EXPECT_TRUE(ReadAccountPage(*page->As<AccountPage>())->recounting);
  // The store may have lost its last transactions with the power: less is right, now.
  CountAll(900, 9);
  EXPECT_EQ(Mail("a1"), 900U);
  EXPECT_FALSE(ReadAccountPage(*page->As<AccountPage>())->recounting);
  EXPECT_EQ(Report(again, 950, 10), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Mail("a1"), 950U);
}

TEST_F(Service, CleanBootCountsNothing) {
  End(Session("ann@a1.test"));
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 1000, 10), wire::Error::UNSPECIFIED);
  End(id);
  ASSERT_TRUE(service_->Stop().ok());
  boot_id_ = "boot-2";
  Restart();
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
  // But the next boot, which nobody announced, is another matter.
  boot_id_ = "boot-3";
  Restart();
  EXPECT_TRUE(Row("ann@a1.test", "a1").unsure);
}

TEST_F(Service, KilledBetweenTurnsKeepsWhatWasAnswered) {
  for (uint64_t i = 1; i <= 20; ++i) {
    const SessionId id = Session("ann@a1.test");
    EXPECT_EQ(Report(id, i * 10, i), wire::Error::UNSPECIFIED);
    End(id);
    Restart();
    ASSERT_EQ(Mail("a1"), i * 10);
  }
}

TEST_F(Service, UnknownUserIsForgotten) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  service_->Disconnected(id);
  const auto job = service_->TakeRecount();
  ASSERT_TRUE(job);
  service_->RecountAnswered(job->user, UsageService::Counted::kUnknownUser);
  EXPECT_EQ(Mail("a1"), 0U);
  EXPECT_EQ(ledger_->Totals("a1")->sources, 0U);
  EXPECT_EQ(service_->recounts_waiting(), 0U);
}

TEST_F(Service, FailedRecountIsTriedAgainLater) {
  service_->Disconnected(Session("ann@a1.test"));
  const auto job = service_->TakeRecount();
  ASSERT_TRUE(job);
  service_->RecountAnswered(job->user, UsageService::Counted::kTryAgain);
  EXPECT_FALSE(service_->TakeRecount());
  After(61);
  EXPECT_TRUE(service_->TakeRecount());
  // An OK without a count is none.
  service_->RecountAnswered(job->user, UsageService::Counted::kOk);
  EXPECT_TRUE(Row("ann@a1.test", "a1").recount);
  EXPECT_NE(log_.find("no count of that user"), std::string::npos);
}

TEST_F(Service, RegularRecountOfWhatLboxDoesNotKeep) {
  const uint64_t ns = static_cast<uint64_t>(now_) * 1000000000;
  SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 100, ns, kClock), wire::Error::UNSPECIFIED);
  End(id);
  id = Session("bob@a1.test");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);  // lbox
  End(id);
  After(3600);
  const auto job = service_->TakeRecount();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->user, "ann@a1.test");
  EXPECT_FALSE(service_->TakeRecount());
}

// Trust -----------------------------------------------------------------------------------------

TEST_F(Service, CustomersOwnUidSpeaksForItsAccountOnly) {
  EXPECT_EQ(Hello(Connect(kCustomerUid), "ann@a1.test").error().kind(), wire::Error::REFUSED);
  EXPECT_EQ(Hello(Connect(kCustomerUid), "who@nowhere.test").error().kind(), wire::Error::REFUSED);
  EXPECT_EQ(Hello(Connect(1234), "ann@own.test").error().kind(), wire::Error::REFUSED);
  const SessionId id = Connect(kCustomerUid);
  const wire::Reply reply = Hello(id, "ann@own.test", "a1", "bill");
  EXPECT_EQ(reply.welcome().account(), "own") << "what it says of userdb fields is not taken";
  EXPECT_EQ(reply.welcome().package(), "gold");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  EXPECT_TRUE(Row("ann@own.test", "own").hint);
  wire::Request request = ReportOf(1, 9);
  request.mutable_report()->set_user("ann@a1.test");
  EXPECT_EQ(Ask(id, request).error().kind(), wire::Error::REFUSED);
  wire::Admin admin;
  admin.mutable_status();
  EXPECT_EQ(AdminAsk(admin, kCustomerUid).error().kind(), wire::Error::REFUSED);
  EXPECT_EQ(AdminAsk(admin, kMailUid).error().kind(), wire::Error::REFUSED);
  EXPECT_FALSE(AdminAsk(admin, kAdminUid).has_error());
  wire::Request meter;
  meter.mutable_web_meter();
  EXPECT_EQ(Ask(Connect(kMailUid), meter).error().kind(), wire::Error::REFUSED);
  wire::Request measured;
  measured.mutable_measured()->set_account("web");
  EXPECT_EQ(Ask(Connect(kWebUid), measured).error().kind(), wire::Error::REFUSED)
      << "without WebMeter before it";
}

TEST_F(Service, RequestsOutOfTurn) {
  const SessionId id = Connect();
  EXPECT_EQ(Report(id, 1, 1), wire::Error::INVALID);
  EXPECT_EQ(Hello(id, "").error().kind(), wire::Error::INVALID);
  EXPECT_EQ(Hello(id, "a\nb@a1.test").error().kind(), wire::Error::INVALID);
  EXPECT_EQ(Hello(id, std::string(256, 'x')).error().kind(), wire::Error::INVALID);
  EXPECT_TRUE(Hello(id, "ann@a1.test").has_welcome());
  EXPECT_EQ(Hello(id, "bob@a1.test").error().kind(), wire::Error::INVALID);
  EXPECT_EQ(Ask(id, wire::Request()).error().kind(), wire::Error::INVALID);
  Bye(id);
  EXPECT_TRUE(Hello(id, "bob@a1.test").has_welcome());
}

// Userdb fields ---------------------------------------------------------------------------------

TEST_F(Service, UserdbFieldsWinAndAreKept) {
  wire::Request request;
  request.mutable_hello()->set_user("ann@a1.test");
  request.mutable_hello()->mutable_overrides()->set_extra_space(1 << 20);
  request.mutable_hello()->mutable_overrides()->set_mailbox_limit(777);
  const SessionId id = Connect();
  EXPECT_EQ(Ask(id, request).welcome().mailbox_limit(), 777U);
  const auto page = PageMap::ForReading(descriptors_[0]);
  EXPECT_EQ(ReadAccountPage(*page->As<AccountPage>())->limit, kGold + (1 << 20));
  Restart();
  wire::Admin admin;
  admin.mutable_usage()->set_account("a1");
  EXPECT_EQ(AdminAsk(admin).admin().accounts(0).limit(), kGold + (1 << 20));
}

TEST_F(Service, AccountOfUserdbAlone) {
  const SessionId id = Connect();
  const wire::Reply reply = Hello(id, "ann@sql.test", "customer-9", "gold");
  EXPECT_EQ(reply.welcome().account(), "customer-9");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Mail("customer-9"), 100U);
  wire::Admin admin;
  admin.mutable_usage()->set_account("customer-9");
  const auto usage = AdminAsk(admin).admin().accounts(0);
  EXPECT_EQ(usage.package(), "gold");
  EXPECT_EQ(usage.limit(), kGold);
}

TEST_F(Service, UserWhoMovesTakesTheRowAlong) {
  SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  End(id);
  id = Connect();
  EXPECT_EQ(Hello(id, "ann@a1.test", "a2").welcome().account(), "a2");
  EXPECT_EQ(Mail("a1"), 0U);
  EXPECT_EQ(Mail("a2"), 100U);
  End(id);
  End(Session("ann@a1.test"));
  EXPECT_EQ(Mail("a1"), 100U);
  EXPECT_EQ(Mail("a2"), 0U);
  EXPECT_TRUE(ledger_->Verify()->empty());
}

// Policy ----------------------------------------------------------------------------------------

TEST_F(Service, OffSwitchReachesOpenSessions) {
  const SessionId id = Session("ann@a1.test");
  const auto page = PageMap::ForReading(descriptors_[0]);
  EXPECT_EQ(ReadAccountPage(*page->As<AccountPage>())->mode, AccountFigures::Mode::kRefuse);
  Policy policy = TestPolicy();
  policy.service.enforce = false;
  policy.service.over_limit_tempfail = true;
  service_->SetPolicy(policy_ = Loaded(policy));
  EXPECT_EQ(ReadAccountPage(*page->As<AccountPage>())->mode, AccountFigures::Mode::kOff);
  bool told = false;
  for (const Outgoing& out : Turn()) {
    told = told ||
           (out.session == id && out.reply.id() == 0 && out.reply.welcome().over_limit_tempfail());
    EXPECT_FALSE(out.close);
  }
  EXPECT_TRUE(told);
}

TEST_F(Service, DomainThatMovesSendsItsSessionsAway) {
  const SessionId id = Session("ann@a1.test");
  EXPECT_EQ(Report(id, 100, 1), wire::Error::UNSPECIFIED);
  Policy policy = TestPolicy();
  for (Account& account : policy.accounts) {
    if (account.name == "a1") {
      account.domains.clear();
    } else if (account.name == "a2") {
      account.domains.emplace_back("a1.test");
    }
  }
  service_->SetPolicy(policy_ = Loaded(policy));
  bool closed = false;
  for (const Outgoing& out : Turn()) {
    closed = closed || (out.session == id && out.close);
  }
  EXPECT_TRUE(closed);
  service_->Disconnected(id);
  EXPECT_EQ(Mail("a2"), 100U);
  EXPECT_FALSE(Row("ann@a1.test", "a2").recount) << "it was sent away, not lost";
  EXPECT_EQ(Hello(Connect(), "ann@a1.test", "", "", true).welcome().account(), "a2");
  After(kReturnSeconds + 1);
  EXPECT_FALSE(Row("ann@a1.test", "a2").recount);
}

TEST_F(Service, PolicyThatIsLostRemovesNothing) {
  SourceRow row;
  row.bytes = 5;
  ASSERT_TRUE(ledger_->Put({"web", SourceKind::kWeb, "/srv/www/one"}, row).ok());
  service_->SetPolicy(Loaded(Policy()));
  EXPECT_EQ(ledger_->Totals("web")->web, 5U);
  Policy policy = TestPolicy();
  for (Account& account : policy.accounts) {
    account.web_roots.clear();
  }
  service_->SetPolicy(Loaded(policy));
  EXPECT_EQ(ledger_->Totals("web")->web, 0U);
}

// Web and external sources ----------------------------------------------------------------------

class WebService : public Service {
 protected:
  WebService() {
    meter_ = Connect(kWebUid);
    wire::Request request;
    request.mutable_web_meter();
    EXPECT_FALSE(Ask(meter_, request).has_error());
    TakeMeasures();
  }
  void TakeMeasures() {
    for (const Outgoing& out : unasked_) {
      if (out.session == meter_ && out.reply.has_measure()) {
        measure_ = out.reply.measure().account();
      }
    }
  }
  wire::Error::Kind Measured(const std::string& root, uint64_t bytes, bool partial = false) {
    measure_.clear();
    wire::Request request;
    auto& measured = *request.mutable_measured();
    measured.set_account("web");
    measured.set_source(root);
    measured.mutable_usage()->set_bytes(bytes);
    measured.set_at(now_);
    measured.set_partial(partial);
    measured.set_problem(partial ? "/srv/www/one/x\n: Permission denied" : "");
    const auto kind = Ask(meter_, request).error().kind();
    TakeMeasures();
    return kind;
  }
  std::string Later(int64_t seconds) {
    measure_.clear();
    After(seconds);
    unasked_ = Turn();
    TakeMeasures();
    return measure_;
  }
  SourceRow WebRow(const std::string& root) {
    const auto row = ledger_->Get({"web", SourceKind::kWeb, root});
    EXPECT_TRUE(row.ok());
    return row.ok() ? *row : SourceRow();
  }

  SessionId meter_;
  std::string measure_;
};

TEST_F(WebService, WalksWhenDue) {
  EXPECT_EQ(measure_, "web");
  EXPECT_EQ(Measured("/srv/www/one", 1000), wire::Error::UNSPECIFIED);
  EXPECT_EQ(Later(100), "") << "the other root is still being walked";
  EXPECT_EQ(Measured("/srv/www/two", 500), wire::Error::UNSPECIFIED);
  EXPECT_EQ(ledger_->Totals("web")->web, 1500U);
  EXPECT_EQ(Later(499), "");
  EXPECT_EQ(Later(1), "web") << "600 s after the last one began";
  EXPECT_EQ(Measured("/srv/www/none", 1), wire::Error::UNKNOWN);
  EXPECT_EQ(Measured("/srv/www/one", 900), wire::Error::UNSPECIFIED);
  EXPECT_EQ(ledger_->Totals("web")->web, 1400U);
}

TEST_F(WebService, PageShowsTheOldestWebFigure) {
  Session("ann@web.test");
  const auto page = PageMap::ForReading(descriptors_[0]);
  EXPECT_EQ(ReadAccountPage(*page->As<AccountPage>())->web_at, 0);
  Measured("/srv/www/one", 1000);
  const int64_t first = now_;
  After(50);
  Measured("/srv/www/two", 500);
  EXPECT_EQ(ReadAccountPage(*page->As<AccountPage>())->web_at, first);
  EXPECT_EQ(ReadAccountPage(*page->As<AccountPage>())->web, 1500U);
}

TEST_F(WebService, PartialWalkKeepsTheLastCompleteFigure) {
  Measured("/srv/www/one", 1000);
  const int64_t complete = now_;
  for (int i = 1; i <= 3; ++i) {
    After(10);
    EXPECT_EQ(log_.find("walks since"), std::string::npos);
    EXPECT_EQ(Measured("/srv/www/one", 300, true), wire::Error::UNSPECIFIED);
    EXPECT_EQ(WebRow("/srv/www/one").bytes, 1000U);
    EXPECT_EQ(WebRow("/srv/www/one").at, complete);
  }
  EXPECT_NE(log_.find("3 walks since the last complete one: /srv/www/one/x\\x0a: Permission"),
            std::string::npos)
      << log_;
  Measured("/srv/www/one", 800);
  EXPECT_EQ(WebRow("/srv/www/one").bytes, 800U);
  EXPECT_EQ(WebRow("/srv/www/one").partial, 0U);
}

TEST_F(WebService, MeterThatDiesIsAskedAgain) {
  EXPECT_EQ(measure_, "web");
  service_->Disconnected(meter_);
  meter_ = Connect(kWebUid);
  wire::Request request;
  request.mutable_web_meter();
  measure_.clear();
  EXPECT_FALSE(Ask(meter_, request).has_error());
  TakeMeasures();
  EXPECT_EQ(measure_, "") << "not at once: it may be what kills it";
  EXPECT_EQ(Later(61), "web");
}

TEST_F(WebService, RecalcWalksAtOnce) {
  Measured("/srv/www/one", 1000);
  Measured("/srv/www/two", 500);
  End(Session("ann@web.test"));
  wire::Admin admin;
  admin.mutable_recalc()->set_account("web");
  admin.mutable_recalc()->set_web(true);
  const wire::Reply reply = AdminAsk(admin);
  TakeMeasures();
  EXPECT_EQ(reply.admin().text(), "1 user will be counted, web roots will be walked");
  EXPECT_EQ(measure_, "web");
  const auto job = service_->TakeRecount();
  ASSERT_TRUE(job);
  EXPECT_TRUE(job->force);
  admin.mutable_recalc()->set_account("none");
  EXPECT_EQ(AdminAsk(admin).error().kind(), wire::Error::UNKNOWN);
}

TEST_F(Service, ExternalSources) {
  wire::Admin admin;
  admin.mutable_set_source()->set_account("web");
  admin.mutable_set_source()->set_source("db");
  admin.mutable_set_source()->set_bytes(12345);
  EXPECT_FALSE(AdminAsk(admin).has_error());
  EXPECT_FALSE(ledger_->uncommitted()) << "such a figure comes from nowhere again";
  EXPECT_EQ(ledger_->Totals("web")->external, 12345U);
  wire::Admin query;
  query.mutable_usage()->set_account("web");
  EXPECT_FALSE(AdminAsk(query).admin().accounts(0).sources(0).stale());
  After(3601);
  EXPECT_TRUE(AdminAsk(query).admin().accounts(0).sources(0).stale());
  admin.mutable_set_source()->set_source("other");
  EXPECT_EQ(AdminAsk(admin).error().kind(), wire::Error::UNKNOWN);
  admin.mutable_set_source()->set_account("a1");
  EXPECT_EQ(AdminAsk(admin).error().kind(), wire::Error::UNKNOWN);
}

// Admin -----------------------------------------------------------------------------------------

TEST_F(Service, UsageOfManyAccountsAndSourcesComesInPages) {
  Policy policy = TestPolicy(1000);
  service_->SetPolicy(policy_ = Loaded(policy));
  for (int i = 0; i < 3000; ++i) {
    SourceRow row;
    row.bytes = 1;
    row.at = now_;
    ASSERT_TRUE(ledger_
                    ->Put({i < 2000 ? "a7" : "elsewhere" + std::to_string(i), SourceKind::kMail,
                           "user" + std::to_string(i) + "@a7.test"},
                          row)
                    .ok());
  }
  std::vector<std::string> accounts;
  wire::Admin admin;
  admin.mutable_usage();
  wire::Reply reply;
  do {
    reply = AdminAsk(admin);
    ASSERT_FALSE(reply.has_error());
    ASSERT_LT(reply.ByteSizeLong(), 65536U);
    for (const auto& usage : reply.admin().accounts()) {
      accounts.push_back(usage.account());
    }
    admin.mutable_usage()->set_after(accounts.back());
  } while (reply.admin().more());
  EXPECT_EQ(accounts.size(), 1000U + 3 + 1000);
  EXPECT_TRUE(std::is_sorted(accounts.begin(), accounts.end()));

  size_t sources = 0;
  admin.mutable_usage()->set_account("a7");
  admin.mutable_usage()->clear_after();
  do {
    reply = AdminAsk(admin);
    ASSERT_LT(reply.ByteSizeLong(), 65536U);
    ASSERT_EQ(reply.admin().accounts_size(), 1);
    ASSERT_EQ(reply.admin().accounts(0).mail(), 2000U);
    const auto& list = reply.admin().accounts(0).sources();
    sources += static_cast<size_t>(list.size());
    admin.mutable_usage()->set_after("1" + list.rbegin()->name());
  } while (reply.admin().more());
  EXPECT_EQ(sources, 2000U);
}

TEST_F(Service, RefusalsAreCountedByMonth) {
  const SessionId id = Session("ann@a1.test");
  wire::Request request = ReportOf(100, 1);
  request.mutable_report()->mutable_cause()->set_refused(3);
  EXPECT_FALSE(Ask(id, request).has_error());
  request.mutable_report()->mutable_version()->set_counter(2);
  EXPECT_FALSE(Ask(id, request).has_error());
  wire::Admin admin;
  admin.mutable_usage()->set_account("a1");
  EXPECT_EQ(AdminAsk(admin).admin().accounts(0).refused(), 6U);
  After(40 * 86400);
  EXPECT_EQ(AdminAsk(admin).admin().accounts(0).refused(), 0U);
}

TEST_F(Service, SpooledReports) {
  wire::Spooled spooled;
  spooled.mutable_hello()->set_user("ann@a1.test");
  *spooled.mutable_report() = ReportOf(100, 5).report();
  using Answer = UsageService::SpoolAnswer;
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled), Answer::kTaken);
  EXPECT_EQ(Mail("a1"), 100U);
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled), Answer::kTaken);
  *spooled.mutable_report() = ReportOf(50, 4).report();
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled), Answer::kTaken);
  EXPECT_EQ(Mail("a1"), 100U) << "late";
  EXPECT_EQ(Row("ann@a1.test", "a1").open, 0U);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
  EXPECT_EQ(service_->TakeSpooled(kCustomerUid, spooled), Answer::kUseless);
  spooled.mutable_hello()->set_user("");
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled), Answer::kUseless);
}

TEST_F(Service, MarksOfSessionsThatNeverCame) {
  wire::Spooled spooled;
  spooled.mutable_hello()->set_user("ann@a1.test");
  *spooled.mutable_report() = ReportOf(100, 5).report();
  using Answer = UsageService::SpoolAnswer;
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled), Answer::kTaken);
  spooled.clear_report();
  EXPECT_EQ(service_->TakeSpooled(kCustomerUid, spooled, true), Answer::kUseless);
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled, true), Answer::kLater);
  EXPECT_FALSE(Row("ann@a1.test", "a1").recount);
  EXPECT_EQ(service_->TakeSpooled(kMailUid, spooled, false), Answer::kTaken);
  EXPECT_TRUE(Row("ann@a1.test", "a1").recount);
  EXPECT_FALSE(Row("ann@a1.test", "a1").unsure) << "enforced meanwhile";
  EXPECT_EQ(Mail("a1"), 100U);
}

TEST_F(Service, SessionsThatBeginAreToldWhatTheirPackageHas) {
  Policy policy = TestPolicy();
  policy.packages[1].access[kImap] = {Access::kDeny, 4};
  policy_ = Loaded(policy);
  service_->SetPolicy(policy_);
  const auto ask = [&](uint32_t uid, const std::string& user, const std::string& package = "") {
    wire::Request request;
    request.mutable_login()->set_user(user);
    request.mutable_login()->set_package(package);
    request.mutable_login()->set_service("imap");
    return Ask(Connect(uid), request);
  };
  EXPECT_EQ(ask(kMailUid, "ann@a1.test").verdict().access(), wire::Verdict::DENY);
  EXPECT_EQ(ask(kMailUid, "ann@a1.test").verdict().rule(), "deny: package gold (policy:4)");
  EXPECT_EQ(ask(kMailUid, "ann@a1.test", "bill").verdict().access(), wire::Verdict::ALLOW);
  EXPECT_EQ(ask(kMailUid, "ann@nowhere.test").verdict().access(), wire::Verdict::ALLOW);
  // A customer's own uid hears of its own users, and what it says of the package is not taken.
  EXPECT_EQ(ask(kCustomerUid, "ann@own.test", "bill").verdict().access(), wire::Verdict::DENY);
  EXPECT_EQ(ask(kCustomerUid, "ann@a1.test").error().kind(), wire::Error::REFUSED);
  EXPECT_EQ(ask(kMailUid, "a\nb@a1.test").error().kind(), wire::Error::INVALID);
}

TEST_F(Service, GrowthWarningsFollowReportsWebAndPolicy) {
  const auto given = [&](const std::string& account) {
    wire::Admin admin;
    admin.mutable_growth()->set_account(account);
    admin.mutable_growth()->set_what(wire::GrowthQuery::WARNINGS);
    std::string text;
    const wire::Reply reply = AdminAsk(admin);
    for (const auto& warning : reply.admin().warnings()) {
      text += std::to_string(warning.threshold()) + " ";
    }
    return text;
  };
  const SessionId ann = Session("ann@a0.test");
  Report(ann, kGold / 100 * 85, 1);
  service_->Tick();
  EXPECT_EQ(given("a0"), "80 ");
  End(ann);
  // The web side alone, by the meter.
  const SessionId meter = Connect(kWebUid);
  wire::Request request;
  request.mutable_web_meter();
  EXPECT_FALSE(Ask(meter, request).has_error());
  request.mutable_measured()->set_account("web");
  request.mutable_measured()->set_source("/srv/www/one");
  request.mutable_measured()->mutable_usage()->set_bytes(kGold);
  request.mutable_measured()->set_at(now_);
  EXPECT_FALSE(Ask(meter, request).has_error());
  service_->Tick();
  EXPECT_EQ(given("web"), "100 ");
  Restart();
  service_->Tick();
  EXPECT_EQ(given("a0") + given("web"), "80 100 ");
  // A smaller package, while nobody is there.
  Policy policy = policy_->snapshot.policy;
  for (Package& package : policy.packages) {
    package.limit = kGold / 100 * 90;
  }
  service_->SetPolicy(policy_ = Loaded(policy));
  service_->Tick();
  EXPECT_EQ(given("a0") + given("web"), "80 90 100 ");
  EXPECT_EQ(given("a1"), "");
}

}  // namespace
}  // namespace hosting

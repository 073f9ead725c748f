// UsageClient against the real service in a process of its own: figures, reports, and a service
// that is away, hangs, is killed or comes back.
#include "quota/usage_client.h"

#include <filesystem>

#include "quota/boot_clock.h"
#include "quota/heartbeat.h"
#include "quota/usage_admin.h"
#include "tests/quota/usage_policy.h"
#include "tests/quota/usage_process.h"

namespace hosting {
namespace {

using Ms = std::chrono::milliseconds;

class UsageClientTest : public ::testing::Test {
 protected:
  // What the service says now of an account, asked by a session of somebody else in it.
  uint64_t MailOf(const std::string& account) {
    auto client = process_.Client("witness@" + account + ".test");
    Lookup lookup;
    EXPECT_TRUE(Eventually([&] {
      lookup = client->Figures();
      return lookup.trust == Trust::kLive;
    }));
    const uint64_t mail = lookup.figures.mail;
    client->Close();
    return mail;
  }

  UsageProcess process_;
};

TEST_F(UsageClientTest, FiguresHoldOwnReportsAtOnce) {
  process_.Start();
  auto client = process_.Client("ann@a1.test");
  Lookup lookup = client->Figures();
  EXPECT_EQ(lookup.trust, Trust::kLive);
  EXPECT_TRUE(lookup.in_account);
  EXPECT_EQ(lookup.figures.limit, kGold);
  EXPECT_EQ(lookup.figures.mailbox_limit, 2ULL << 30);
  EXPECT_EQ(lookup.figures.mode, AccountFigures::Mode::kRefuse);
  EXPECT_EQ(client->account(), "a1");
  EXPECT_EQ(client->package(), "gold");
  EXPECT_EQ(client->grace(), 1000U);
  for (uint64_t i = 1; i <= 100; ++i) {
    client->Report(Amount(i * 1000, i), {});
    lookup = client->Figures();
    ASSERT_EQ(lookup.figures.mail, i * 1000);
    ASSERT_EQ(lookup.figures.messages, i * 10);
  }
  EXPECT_FALSE(client->unreported());
  client->Close();
  EXPECT_EQ(MailOf("a1"), 100000U);
}

TEST_F(UsageClientTest, UsersOfOneAccountAddUp) {
  process_.Start();
  auto ann = process_.Client("ann@a1.test");
  auto bob = process_.Client("Bob@A1.test");
  auto eve = process_.Client("eve@a2.test");
  ann->Report(Amount(10, 1), {});
  bob->Report(Amount(20, 1), {});
  eve->Report(Amount(40, 1), {});
  (void)bob->Connect();
  (void)eve->Connect();
  EXPECT_TRUE(Eventually([&] {
    bob->Pump();
    eve->Pump();
    return ann->Figures().figures.mail == 30 && eve->Figures().figures.mail == 40;
  }));
}

TEST_F(UsageClientTest, NoAccountNoLimit) {
  process_.Start();
  auto client = process_.Client("who@elsewhere.test");
  const Lookup lookup = client->Figures();
  EXPECT_EQ(lookup.trust, Trust::kLive);
  EXPECT_FALSE(lookup.in_account);
  client->Report(Amount(1, 1), {});
  EXPECT_TRUE(Eventually([&] {
    client->Pump();
    return !client->unreported();
  }));
}

TEST_F(UsageClientTest, AwayMeansAcceptAndKeep) {
  std::vector<std::string> lines;
  auto client = process_.Client("ann@a1.test", "imap", &lines);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(client->Figures().trust, Trust::kUnknown);
  client->Report(Amount(10, 1), {});
  client->Report(Amount(20, 2), {});
  client->Pump();
  EXPECT_LT(std::chrono::steady_clock::now() - start, Ms(50));
  EXPECT_TRUE(client->unreported());
  EXPECT_EQ(lines.size(), 1U);
  process_.Start();
  EXPECT_TRUE(Eventually([&] {
    client->Pump();
    return !client->unreported();
  }));
  EXPECT_EQ(client->Figures().figures.mail, 20U);
  EXPECT_EQ(lines.size(), 2U) << lines.back();
}

TEST_F(UsageClientTest, SessionThatEndsInAnOutageIsSpooled) {
  process_.Start();
  process_.Kill();
  auto client = process_.Client("ann@a1.test");
  client->Report(Amount(30, 1), {});
  client->Close();
  EXPECT_FALSE(std::filesystem::is_empty(process_.state() + "/spool"));
  process_.Start();
  EXPECT_TRUE(Eventually([&] { return MailOf("a1") == 30; }));
  EXPECT_TRUE(Eventually([&] { return std::filesystem::is_empty(process_.state() + "/spool"); }));
}

TEST_F(UsageClientTest, KilledServiceLosesNothingThatWasAnswered) {
  process_.Start();
  auto client = process_.Client("ann@a1.test");
  client->Report(Amount(30, 1), {});
  EXPECT_EQ(client->Figures().figures.mail, 30U);
  process_.Kill();
  EXPECT_EQ(client->Figures().trust, Trust::kLastKnown);
  EXPECT_EQ(client->Figures().figures.mail, 30U);
  client->Report(Amount(50, 2), {});
  process_.Start();
  EXPECT_TRUE(Eventually([&] { return client->Figures().trust == Trust::kLive; }));
  EXPECT_EQ(client->Figures().figures.mail, 50U);
  EXPECT_EQ(MailOf("a1"), 50U);
}

TEST_F(UsageClientTest, HungServiceDelaysNobody) {
  process_.Start();
  std::vector<std::string> lines;
  auto client = process_.Client("ann@a1.test", "imap", &lines);
  client->Report(Amount(30, 1), {});
  EXPECT_EQ(client->Figures().figures.mail, 30U);
  process_.Signal(SIGSTOP);
  auto other = process_.Client("bob@a1.test", "imap", &lines);
  Ms longest(0);
  const auto timed = [&](const auto& call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    longest =
        std::max(longest, std::chrono::duration_cast<Ms>(std::chrono::steady_clock::now() - start));
  };
  for (uint64_t i = 2; i < 30; ++i) {
    timed([&] { client->Report(Amount(i * 100, i), {}); });
    timed([&] { (void)client->Figures(); });
    timed([&] { other->Report(Amount(i, i), {}); });
    timed([&] { (void)other->Figures(); });
    timed([&] { other->Pump(); });
  }
  timed([&] { other->Close(); });
  EXPECT_LE(longest, Ms(60)) << "50 ms, and some for the machine";
  EXPECT_EQ(lines.size(), 1U);
  // Once the pulse is late these are last known figures.
  EXPECT_TRUE(Eventually([&] { return client->Figures().trust == Trust::kLastKnown; }));
  process_.Signal(SIGCONT);
  EXPECT_TRUE(Eventually([&] {
    client->Pump();
    return !client->unreported();
  }));
  EXPECT_TRUE(Eventually([&] { return MailOf("a1") == 2900 + 29; }));
  EXPECT_EQ(lines.size(), 2U);
}

// A session in an outage leaves a mark before it changes mail, and takes it away at its end.
TEST_F(UsageClientTest, ChangesInAnOutageLeaveAMarkUntilTheSessionEnds) {
  const auto spooled = [this] {
    const std::filesystem::directory_iterator all(process_.state() + "/spool");
    return std::distance(begin(all), end(all));
  };
  process_.Start();
  process_.Kill();
  auto client = process_.Client("ann@a1.test");
  EXPECT_FALSE(client->BeforeChange().ok());
  EXPECT_FALSE(client->BeforeChange().ok());
  EXPECT_EQ(spooled(), 1);
  client->Report(Amount(30, 1), {});
  client->Close();
  EXPECT_EQ(spooled(), 1) << "the report alone";
  auto other = process_.Client("bob@a1.test");
  EXPECT_FALSE(other->BeforeChange().ok());
  EXPECT_EQ(spooled(), 2);
  process_.Start();
  EXPECT_TRUE(Eventually([&] { return other->BeforeChange().ok(); }));
  EXPECT_TRUE(Eventually([&] { return spooled() == 0; })) << "the service knows of it now";
  EXPECT_TRUE(Eventually([&] { return MailOf("a1") == 30; }));
}

// A report that is on its way is waited for where it matters only.
TEST_F(UsageClientTest, FiguresForADemandWaitOnlyWhereTheReportDecides) {
  process_.Start();
  auto client = process_.Client("ann@a1.test");
  client->Report(Amount(1000, 1), {});
  EXPECT_EQ(client->Figures().figures.mail, 1000U);
  process_.Signal(SIGSTOP);
  client->Report(Amount(2000, 2), {});
  const auto start = std::chrono::steady_clock::now();
  (void)client->Figures(Demand{1000, 1});
  EXPECT_LT(std::chrono::steady_clock::now() - start, Ms(25)) << "room enough either way";
  (void)client->Figures(Demand{kGold - 1500, 1});
  EXPECT_GE(std::chrono::steady_clock::now() - start, Ms(50)) << "the call limit";
  process_.Signal(SIGCONT);
}

// Refusals of a session that knows nothing else, in an outage, too.
TEST_F(UsageClientTest, CausesAlone) {
  process_.Start();
  Causes refused;
  refused.refused = 1;
  auto client = process_.Client("ann@a1.test", "quota-status");
  client->Report(Amount(500, 1), {});
  EXPECT_EQ(client->Figures().figures.mail, 500U);
  client->ReportCauses(refused);
  EXPECT_TRUE(client->unreported());
  client->Close();
  process_.Kill();
  auto other = process_.Client("bob@a1.test", "quota-status");
  other->ReportCauses(refused);
  other->Close();
  process_.Start();
  EXPECT_TRUE(Eventually([&] {
    auto admin = UsageAdmin::Connect(process_.socket());
    const auto usage = (*admin)->Account("a1");
    return usage.ok() && usage->refused() == 2 && usage->mail() == 500;
  }));
}

// What a session that never met the service does: as the policy said last.
TEST_F(UsageClientTest, HeartbeatTellsWhoeverComesLater) {
  int64_t now = time(nullptr);
  UsageClient::Options options;
  options.socket_path = process_.socket();
  options.spool_folder = process_.state() + "/spool";
  options.now = [&now] { return now; };
  UsageClient client(options, SessionUser{"ann@a1.test", "lmtp", "", "", {}, {}});
  EXPECT_EQ(client.Figures().trust, Trust::kUnknown);
  EXPECT_FALSE(client.unavailable_tempfail()) << "nothing is known";
  process_.Start();
  process_.Kill();
  EXPECT_TRUE(Eventually([&] { return ReadHeartbeat(process_.state()).ok(); }));
  for (const bool tempfail : {false, true}) {
    ASSERT_TRUE(WriteHeartbeat(process_.state(), {1000, 900, tempfail}).ok());
    now = 1000 + 899;
    EXPECT_FALSE(client.unavailable_tempfail());
    now = 1000 + 900 + kHeartbeatSeconds + 1;
    EXPECT_EQ(client.unavailable_tempfail(), tempfail);
  }
}

// Last known figures count for so long only.
TEST_F(UsageClientTest, FiguresAge) {
  process_.Start();
  int64_t ahead_ms = 0;
  UsageClient::Options options;
  options.socket_path = process_.socket();
  options.boot_ms = [&ahead_ms] { return BootMs() + ahead_ms; };
  SessionUser session;
  session.user = "ann@a1.test";
  UsageClient client(options, session);
  EXPECT_EQ(client.Figures().trust, Trust::kLive);
  process_.Kill();
  ahead_ms = 10000;
  EXPECT_EQ(client.Figures().trust, Trust::kLastKnown);
  ahead_ms = 890000;
  EXPECT_EQ(client.Figures().trust, Trust::kLastKnown);
  ahead_ms = 910000;
  EXPECT_EQ(client.Figures().trust, Trust::kUnknown);
}

}  // namespace
}  // namespace hosting

// UsageClient against the real service in a process of its own: figures, reports, and a service
// that is away, hangs, is killed or comes back.
#include "quota/usage_client.h"

#include <filesystem>

#include "quota/boot_clock.h"
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

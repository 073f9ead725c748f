// Growth warnings on their way: who is told by which way, how often, and what a crash changes.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quota/growth_job.h"
#include "quota/growth_outbox.h"
#include "quota/policy_file.h"
#include "tests/quota/memory_ledger.h"
#include "tests/quota/policy_support.h"
#include "tests/quota/usage_policy.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400, kNow = 1795392000;
constexpr char kPolicy[] = R"(
[package.p]
limit = "1000k"
[package.silent]
warn_imap = false
warn_mail = false
warn_script = false
warn_event = false
warn_log = false
[account."example.com"]
package = "p"
domains = ["example.com"]
contact = "boss@elsewhere.example"
language = "de"
[account."own"]
package = "p"
domains = ["own.example"]
contact = "ann@own.example"
[account."silent"]
package = "silent"
domains = ["silent.example"]
contact = "boss@silent.example"
[protocols]
pop3_host = "pop.example.com"
)";

std::shared_ptr<const LoadedPolicy> PolicyOf(const char* text) {
  auto parsed = ParsePolicy(text, TestNames());
  EXPECT_TRUE(parsed.problems.empty());
  return Loaded(std::move(parsed.policy));
}

class Outbox : public testing::Test {
 protected:
  Outbox() : accounts_(ledger_, PolicyOf(kPolicy)) { Restart(); }

  void Restart() {
    outbox_ = std::make_unique<GrowthOutbox>(
        ledger_, accounts_, true, [this](LogLevel level, const std::string& text) {
          log_.push_back((level == LogLevel::kError ? "error: " : "") + text);
        });
  }
  void Mailbox(const std::string& account, const std::string& user, uint64_t bytes) {
    SourceRow row;
    row.bytes = bytes;
    ASSERT_TRUE(ledger_.Put({account, SourceKind::kMail, user}, row).ok());
  }
  static GrowthWarning Warning(uint64_t number, const std::string& account = "example.com") {
    GrowthWarning warning;
    warning.account = account;
    warning.package = "p";
    warning.number = number;
    warning.threshold = 80;
    warning.percent = 81;
    warning.limit = 1024000;
    warning.level = GrowthLevel::kWarning;
    warning.at = kNow;
    return warning;
  }
  std::optional<wire::WarnJob> Take(GrowthOutbox::Way way, int64_t now = kNow) {
    auto job = outbox_->Take(way, now);
    EXPECT_TRUE(job.ok());
    return *job;
  }
  void Answer(const wire::WarnJob& job, wire::WarnDone::Outcome outcome, int64_t now = kNow) {
    wire::WarnDone done;
    done.set_id(job.id());
    done.set_outcome(outcome);
    done.set_text("text");
    EXPECT_TRUE(outbox_->Done(done, now).ok());
  }
  // Everything that waits, done.
  std::vector<std::string> SendAll(GrowthOutbox::Way way, int64_t now = kNow) {
    std::vector<std::string> recipients;
    while (const auto job = Take(way, now)) {
      recipients.push_back(job->task().recipient());
      Answer(*job, wire::WarnDone::DONE, now);
    }
    std::sort(recipients.begin(), recipients.end());
    return recipients;
  }
  std::string Alert(const std::string& user, int64_t now) {
    const auto effective = accounts_.index().EffectiveOf(user, {});
    EXPECT_TRUE(effective.has_value());
    auto alert = outbox_->Alert(user, *effective, now);
    EXPECT_TRUE(alert.ok());
    return *alert;
  }

  MemoryLedger ledger_;
  UsageAccounts accounts_;
  std::unique_ptr<GrowthOutbox> outbox_;
  std::vector<std::string> log_;
};

using Recipients = std::vector<std::string>;

TEST_F(Outbox, MailGoesToTheContactAndTheLargestMailboxes) {
  for (int i = 1; i <= 7; ++i) {
    Mailbox("example.com", "u" + std::to_string(i) + "@example.com", 1000 * i);
  }
  Mailbox("example.com", "empty@example.com", 0);
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  const auto job = Take(wire::WarnTask::MAIL);
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->language(), "de");
  EXPECT_FALSE(job->task().begun());
  Answer(*job, wire::WarnDone::DONE);
  Recipients rest = SendAll(wire::WarnTask::MAIL);
  rest.push_back(job->task().recipient());
  std::sort(rest.begin(), rest.end());
  EXPECT_EQ(rest, (Recipients{"boss@elsewhere.example", "u3@example.com", "u4@example.com",
                              "u5@example.com", "u6@example.com", "u7@example.com"}));
  EXPECT_EQ(SendAll(wire::WarnTask::SCRIPT), Recipients{""});
  EXPECT_EQ(*outbox_->waiting(), 0U);
}

TEST_F(Outbox, AContactWithALargeMailboxGetsOneMail) {
  Mailbox("own", "ann@own.example", 1000);
  Mailbox("own", "bob@own.example", 500);
  ASSERT_TRUE(outbox_->Deliver(Warning(1, "own")).ok());
  int contacts = 0, mails = 0;
  while (const auto job = Take(wire::WarnTask::MAIL)) {
    EXPECT_TRUE(job->task().mailbox());
    ++mails;
    if (job->task().contact()) {
      ++contacts;
      ASSERT_EQ(job->largest_size(), 2);
      EXPECT_EQ(job->largest(0).name(), "ann@own.example");
      EXPECT_NE(MailOf(*job, "host", {}).text.text.find("1000 bytes  ann@own.example"),
                std::string::npos);
    } else {
      // A mailbox's owner hears of their own folders only.
      EXPECT_EQ(job->largest_size(), 0);
      const std::string text = MailOf(*job, "host", {{"Sent", 500}}).text.text;
      EXPECT_NE(text.find("500 bytes  Sent"), std::string::npos);
      EXPECT_EQ(text.find("ann@"), std::string::npos);
    }
    Answer(*job, wire::WarnDone::DONE);
  }
  EXPECT_EQ(contacts, 1);
  EXPECT_EQ(mails, 2);
}

TEST_F(Outbox, EachWayCanBeOff) {
  Mailbox("silent", "ann@silent.example", 1000);
  ASSERT_TRUE(outbox_->Deliver(Warning(1, "silent")).ok());
  EXPECT_EQ(*outbox_->waiting(), 0U);
  EXPECT_EQ(Alert("ann@silent.example", kNow), "");
  const auto announced = outbox_->TakeAnnouncements();
  ASSERT_EQ(announced.size(), 1U);
  EXPECT_FALSE(announced[0].event);
  EXPECT_FALSE(announced[0].log);
}

TEST_F(Outbox, OneThatWasTakenOnIsNotTakenOnAgain) {
  ASSERT_TRUE(outbox_->Deliver(Warning(3)).ok());
  EXPECT_EQ(SendAll(wire::WarnTask::MAIL).size(), 1U);
  EXPECT_EQ(outbox_->TakeAnnouncements().size(), 1U);
  Restart();
  ASSERT_TRUE(outbox_->Deliver(Warning(3)).ok());
  EXPECT_EQ(SendAll(wire::WarnTask::MAIL).size(), 0U);
  EXPECT_EQ(outbox_->TakeAnnouncements().size(), 0U);
}

TEST_F(Outbox, OneMailADayUnlessItGetsMoreUrgent) {
  const auto mails = [this](uint64_t number, int64_t at, GrowthLevel level) {
    GrowthWarning warning = Warning(number);
    warning.at = at;
    warning.level = level;
    EXPECT_TRUE(outbox_->Deliver(warning).ok());
    EXPECT_EQ(SendAll(wire::WarnTask::SCRIPT, at).size(), 1U);
    return SendAll(wire::WarnTask::MAIL, at).size();
  };
  EXPECT_EQ(mails(1, kNow, GrowthLevel::kWarning), 1U);
  EXPECT_EQ(mails(2, kNow + 60, GrowthLevel::kWarning), 0U);
  EXPECT_EQ(mails(3, kNow + 120, GrowthLevel::kFull), 1U);
  EXPECT_EQ(mails(4, kNow + 180, GrowthLevel::kFull), 0U);
  EXPECT_EQ(mails(5, kNow + kDay + 120, GrowthLevel::kNotice), 1U);
}

// IMAP ------------------------------------------------------------------------------------------

TEST_F(Outbox, AnAlertIsShownOnceADay) {
  Mailbox("example.com", "ann@example.com", 900000);
  EXPECT_EQ(Alert("ann@example.com", kNow), "");
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  EXPECT_EQ(Alert("ann@example.com", kNow),
            "example.com belegt 878 kB (87 % von 1000 kB). E-Mails loeschen oder POP3 verwenden.");
  for (int i = 0; i < 3; ++i) {
    Restart();
    EXPECT_EQ(Alert("ann@example.com", kNow + i), "");
  }
  EXPECT_NE(Alert("bob@example.com", kNow), "");
  EXPECT_EQ(Alert("ann@example.com", kNow + kDay - 1), "");
  EXPECT_NE(Alert("ann@example.com", kNow + kDay), "");
  EXPECT_EQ(Alert("ann@own.example", kNow), "") << "another account";
}

TEST_F(Outbox, AnAlertEnds) {
  Mailbox("example.com", "ann@example.com", 900000);
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  EXPECT_EQ(Alert("ann@example.com", kNow + 7 * kDay), "") << "after a week";
  Mailbox("example.com", "ann@example.com", 700000);
  EXPECT_EQ(Alert("ann@example.com", kNow), "") << "once it has been cleaned up";
  Mailbox("example.com", "ann@example.com", 2000000);
  EXPECT_TRUE(Alert("ann@example.com", kNow).starts_with("example.com ist voll"));
}

TEST_F(Outbox, OldRowsGo) {
  Mailbox("example.com", "ann@example.com", 900000);
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  EXPECT_NE(Alert("ann@example.com", kNow), "");
  const auto rows = [this](const std::string& prefix) {
    size_t count = 0;
    EXPECT_TRUE(ledger_
                    .ForEachValue(prefix, "",
                                  [&](std::string_view, std::string_view) {
                                    ++count;
                                    return true;
                                  })
                    .ok());
    return count;
  };
  ASSERT_TRUE(outbox_->Tick(kNow).ok());
  EXPECT_EQ(rows("warn/told/"), 1U);
  EXPECT_EQ(rows("warn/alert/"), 1U);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(outbox_->Tick(kNow + 30 * kDay + 60 * i).ok());
  }
  EXPECT_EQ(rows("warn/told/"), 0U);
  EXPECT_EQ(rows("warn/alert/"), 0U);
  EXPECT_EQ(rows("warn/sent/"), 1U);
}

// Crashes ---------------------------------------------------------------------------------------

TEST_F(Outbox, AfterACrashMailToAMailboxIsLookedFor) {
  Mailbox("own", "ann@own.example", 1000);
  ASSERT_TRUE(outbox_->Deliver(Warning(1, "own")).ok());
  const auto first = Take(wire::WarnTask::MAIL);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(Take(wire::WarnTask::MAIL).has_value()) << "one at a time";
  Restart();
  const auto again = Take(wire::WarnTask::MAIL);
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->task().begun());
  EXPECT_EQ(MailOf(*first, "host", {}).id, MailOf(*again, "host", {}).id);
  Answer(*again, wire::WarnDone::DONE);
  Restart();
  EXPECT_FALSE(Take(wire::WarnTask::MAIL).has_value());
}

TEST_F(Outbox, AfterACrashNothingElseIsRepeated) {
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  ASSERT_TRUE(Take(wire::WarnTask::MAIL).has_value());
  ASSERT_TRUE(Take(wire::WarnTask::SCRIPT).has_value());
  Restart();
  EXPECT_FALSE(Take(wire::WarnTask::MAIL).has_value());
  EXPECT_FALSE(Take(wire::WarnTask::SCRIPT).has_value());
  ASSERT_EQ(log_.size(), 2U);
  EXPECT_TRUE(
      log_[0].starts_with("error: growth warning 1 of account example.com, mail to "
                          "boss@elsewhere.example: it was under "
                          "way"));
  EXPECT_EQ(*outbox_->waiting(), 0U);
}

TEST_F(Outbox, AHelperThatIsLost) {
  Mailbox("own", "ann@own.example", 1000);
  ASSERT_TRUE(outbox_->Deliver(Warning(1, "own")).ok());
  auto job = Take(wire::WarnTask::SCRIPT);
  ASSERT_TRUE(outbox_->Lost(job->id(), false, kNow).ok());
  EXPECT_FALSE(Take(wire::WarnTask::SCRIPT, kNow + 59).has_value());
  job = Take(wire::WarnTask::SCRIPT, kNow + 60);
  ASSERT_TRUE(job.has_value()) << "it never left";
  ASSERT_TRUE(outbox_->Lost(job->id(), true, kNow + 60).ok());
  EXPECT_FALSE(Take(wire::WarnTask::SCRIPT, kNow + kDay).has_value()) << "it may have run";

  job = Take(wire::WarnTask::MAIL);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(outbox_->Lost(job->id(), true, kNow).ok());
    job = Take(wire::WarnTask::MAIL);
    ASSERT_TRUE(job.has_value());
    EXPECT_TRUE(job->task().begun());
  }
  ASSERT_TRUE(outbox_->Lost(job->id(), true, kNow).ok());
  EXPECT_FALSE(Take(wire::WarnTask::MAIL).has_value()) << "with which it ends each time";
}

TEST_F(Outbox, WhatFailsIsTriedAgainAndThenGivenUp) {
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  int64_t now = kNow;
  int tries = 0;
  while (*outbox_->waiting() != 0 && tries < 1000) {
    if (const auto job = Take(wire::WarnTask::MAIL, now)) {
      EXPECT_FALSE(job->task().begun()) << "nothing was sent";
      Answer(*job, wire::WarnDone::TRY_AGAIN, now);
      ++tries;
    }
    (void)SendAll(wire::WarnTask::SCRIPT, now);
    now += 60;
  }
  EXPECT_GE(tries, 70);
  EXPECT_LE(tries, 90);
  EXPECT_NE(log_.back().find("given up after three days: text"), std::string::npos);

  ASSERT_TRUE(outbox_->Deliver(Warning(2)).ok());
  const auto job = Take(wire::WarnTask::SCRIPT);
  Answer(*job, wire::WarnDone::FAILED);
  EXPECT_FALSE(Take(wire::WarnTask::SCRIPT, kNow + kDay).has_value());
}

TEST_F(Outbox, WithoutAHelperThereIsNoQueue) {
  GrowthOutbox alone(ledger_, accounts_, false, [](LogLevel, const std::string&) {});
  Mailbox("example.com", "ann@example.com", 900000);
  ASSERT_TRUE(alone.Deliver(Warning(1)).ok());
  EXPECT_EQ(*alone.waiting(), 0U);
  EXPECT_NE(Alert("ann@example.com", kNow), "");
}

TEST_F(Outbox, LongAndHostileNames) {
  const std::string user = std::string(240, 'x') + "\xff@example.com";
  Mailbox("example.com", user, 900000);
  ASSERT_TRUE(outbox_->Deliver(Warning(1)).ok());
  EXPECT_NE(Alert(user, kNow), "");
  EXPECT_EQ(Alert(user, kNow), "");
  EXPECT_EQ(SendAll(wire::WarnTask::MAIL), (Recipients{"boss@elsewhere.example", user}));
  for (const std::string& line : log_) {
    EXPECT_EQ(line.find('\xff'), std::string::npos);
  }
}

TEST(GrowthJob, ScriptsGetTextWithoutSurprises) {
  wire::WarnJob job;
  auto& warning = *job.mutable_task()->mutable_warning();
  warning.set_account("a\r\n$(reboot)\xe2\x80\xae");
  warning.set_rule(1);
  warning.set_level(2);
  warning.set_limit(1000);
  warning.set_percent(93);
  warning.set_price("0");
  warning.set_price_threshold("0");
  EXPECT_EQ(ScriptArguments(job, "/s"),
            (std::vector<std::string>{"/s", "a $(reboot)", "percent", "warning", "93"}));
  for (const std::string& variable : ScriptEnvironment(job)) {
    for (const char c : variable) {
      EXPECT_TRUE(c >= ' ' && c <= '~') << variable;
    }
  }
}

}  // namespace
}  // namespace hosting

// The service's watch over growth: which warnings are given, once, over restarts and kills, and
// when only the web side grew; what operators are answered; ten thousand accounts.
#include "quota/growth_watch.h"

#include <chrono>
#include <cstdio>

#include <gtest/gtest.h>

#include "quota/growth_rules.h"
#include "quota/ledger_lmdb.h"
#include "quota/usage_causes.h"
#include "quota/usage_service.h"
#include "tests/quota/temp_folder.h"
#include "tests/quota/usage_policy.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr int64_t kStart = 1767225600;  // 2026-01-01 00:00 UTC
constexpr int64_t kHour = 3600, kDay = 86400;
constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

// Queues what it is given in the ledger, as the ways out do, and counts it.
class Queue : public GrowthWays {
 public:
  explicit Queue(Ledger& ledger) : ledger_(ledger) {}
  Status Deliver(const GrowthWarning& warning) override {
    if (fail) {
      return Status(Code::kUnavailable, "not now");
    }
    given.push_back(warning);
    return ledger_.PutValue("queued/" + warning.account + "/" + std::to_string(warning.number),
                            NameOf(warning.rule));
  }
  std::vector<GrowthWarning> given;
  bool fail = false;

 private:
  Ledger& ledger_;
};

class Watch : public ::testing::Test {
 protected:
  Watch() {
    Policy policy = TestPolicy();
    for (Package& package : policy.packages) {
      package.warn_days = 14;
      package.warn_weekly_percent = 50;
      if (package.overage) {
        package.warn_overage = Money();
      }
    }
    policy_ = Loaded(policy);
    Start();
  }
  void Start() {
    auto ledger = OpenLmdbLedger(folder_.path(), 1 << 20);
    ASSERT_TRUE(ledger.ok()) << ledger.status().message();
    ledger_ = std::move(*ledger);
    queue_ = std::make_unique<Queue>(*ledger_);
    accounts_ = std::make_unique<UsageAccounts>(*ledger_, policy_);
    watch_ = std::make_unique<GrowthWatch>(
        *ledger_, *accounts_, folder_.path() + "/growth",
        [this](LogLevel, const std::string& text) { log_ += text + "\n"; }, queue_.get());
    accounts_->OnChange([this](const std::string& account) { watch_->Changed(account); });
    watch_->Start(now_);
  }
  // saved: what the turn did is saved before the kill.
  void Kill(bool saved = true) {
    if (saved) {
      ASSERT_TRUE(ledger_->Save().ok());
    }
    watch_.reset();
    accounts_.reset();
    queue_.reset();
    ledger_.reset();
    Start();
  }
  void Use(SourceKind kind, uint64_t bytes, const std::string& account = "a0") {
    SourceRow row;
    row.bytes = bytes;
    row.at = now_;
    const std::string name = kind == SourceKind::kMail ? "ann@" + account + ".test" : "/srv/www";
    ASSERT_TRUE(ledger_->Put({account, kind, name}, row).ok());
    ASSERT_TRUE(accounts_->Refresh(account).ok());
  }
  void Deliver(uint64_t delivered, uint64_t saved, uint64_t removed_pop3, uint64_t removed_imap) {
    wire::Cause cause;
    cause.set_delivered(delivered);
    cause.set_saved(saved);
    cause.set_removed_pop3(removed_pop3);
    cause.set_removed_imap(removed_imap);
    ASSERT_TRUE(AddCauses(*ledger_, "a0", "UTC", now_, cause).ok());
  }
  void Tick() { watch_->Tick(now_, now_ * 1000); }
  void Hour(const std::string& account = "a0") {
    ASSERT_TRUE(watch_->Hour(account, now_).ok());
    Tick();
  }
  // What was given since it was asked last: "percent 80, days 14".
  std::string Given() {
    std::string text;
    for (const GrowthWarning& warning : queue_->given) {
      text += (text.empty() ? "" : ", ") + std::string(NameOf(warning.rule)) + " " +
              std::to_string(warning.threshold);
    }
    queue_->given.clear();
    return text;
  }
  wire::AdminResult Ask(wire::GrowthQuery::What what, const std::string& account = "a0",
                        const std::string& after = "") {
    wire::GrowthQuery query;
    query.set_account(account);
    query.set_what(what);
    query.set_after(after);
    wire::AdminResult result;
    const Status status = watch_->Answer(query, now_, result);
    EXPECT_TRUE(status.ok()) << status.message();
    return result;
  }

  TempFolder folder_;
  std::shared_ptr<const LoadedPolicy> policy_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Queue> queue_;
  std::unique_ptr<UsageAccounts> accounts_;
  std::unique_ptr<GrowthWatch> watch_;
  std::string log_;
  int64_t now_ = kStart;
};

TEST_F(Watch, AChangeIsSeenAtTheNextTick) {
  Use(SourceKind::kMail, kGold / 2);
  Tick();
  EXPECT_EQ(Given(), "");
  Use(SourceKind::kMail, kGold / 100 * 85);
  Tick();
  ASSERT_EQ(queue_->given.size(), 1U);
  const GrowthWarning warning = queue_->given[0];
  EXPECT_EQ(warning.account, "a0");
  EXPECT_EQ(warning.package, "gold");
  EXPECT_EQ(warning.number, 1U);
  EXPECT_EQ(warning.percent, 84U);
  EXPECT_EQ(warning.mail, kGold / 100 * 85);
  EXPECT_EQ(warning.limit, kGold);
  EXPECT_EQ(warning.at, now_);
  EXPECT_EQ(Given(), "percent 80");
  Tick();
  Hour();
  EXPECT_EQ(Given(), "");
  EXPECT_EQ(log_, "");
}

TEST_F(Watch, TheWebSideAloneIsSeen) {
  Use(SourceKind::kMail, kGiB);
  Use(SourceKind::kWeb, kGold - kGiB + 1);
  Tick();
  ASSERT_EQ(queue_->given.size(), 1U);
  EXPECT_EQ(queue_->given[0].web, kGold - kGiB + 1);
  EXPECT_EQ(queue_->given[0].mail, kGiB);
  EXPECT_EQ(Given(), "percent 100");
}

TEST_F(Watch, NothingTwiceOverRestartsAndKills) {
  Use(SourceKind::kMail, kGold);
  for (int i = 0; i < 5; ++i) {
    Tick();
    Hour();
    EXPECT_EQ(Given(), i == 0 ? "percent 100" : "");
    Kill();
    now_ += kHour;
  }
  // A kill before the turn was saved: neither the note nor the queued warning is there.
  Use(SourceKind::kMail, kGiB);
  Tick();
  ASSERT_TRUE(ledger_->Save().ok());
  Use(SourceKind::kMail, kGold);
  Tick();
  EXPECT_EQ(Given(), "percent 100");
  Kill(false);
  EXPECT_FALSE(ledger_->GetValue("queued/a0/2").ok());
  Use(SourceKind::kMail, kGold);
  Tick();
  ASSERT_EQ(queue_->given.size(), 1U);
  EXPECT_EQ(queue_->given[0].number, 2U);
  Kill();
  EXPECT_TRUE(ledger_->GetValue("queued/a0/2").ok());
  Hour();
  EXPECT_EQ(Given(), "");
}

TEST_F(Watch, WhatCouldNotBeQueuedComesWithTheSameNumber) {
  queue_->fail = true;
  Use(SourceKind::kMail, kGold);
  Tick();
  Tick();
  EXPECT_EQ(log_, "account \"a0\": growth warnings wait: not now\n");
  queue_->fail = false;
  Tick();
  ASSERT_EQ(queue_->given.size(), 1U);
  EXPECT_EQ(queue_->given[0].number, 1U);
}

TEST_F(Watch, WaitsForARecount) {
  SourceRow row;
  row.bytes = kGold;
  row.at = now_;
  row.recount = row.unsure = true;
  ASSERT_TRUE(ledger_->Put({"a0", SourceKind::kMail, "ann@a0.test"}, row).ok());
  Hour();
  EXPECT_EQ(Given(), "");
  Use(SourceKind::kMail, kGold);
  Tick();
  EXPECT_EQ(Given(), "percent 100");
}

TEST_F(Watch, ForecastComesTrueOverRestarts) {
  // 200 MiB a day from 3 GiB: full during day 35, which 14 days before is told.
  std::string given;
  int day = 0;
  for (; day < 40; ++day, now_ += kDay) {
    Use(SourceKind::kMail, 3 * kGiB + static_cast<uint64_t>(day) * 200 * kMiB);
    Hour();
    if (const std::string now = Given(); !now.empty()) {
      given += std::to_string(day) + ": " + now + "; ";
    }
    if (day % 10 == 5) {
      Kill();
    }
  }
  EXPECT_EQ(given, "21: days 14; 26: percent 80; 31: percent 90; 36: percent 100; ");
}

TEST_F(Watch, WeeklyGrowthAndTheBill) {
  for (int day = 0; day < 9; ++day, now_ += kDay) {
    Use(SourceKind::kMail, kGiB, "billed");
    Hour("billed");
    EXPECT_EQ(Given(), "");
  }
  Use(SourceKind::kMail, 2 * kGiB, "billed");
  Tick();
  EXPECT_EQ(Given(), "week 50");
  Use(SourceKind::kWeb, 9 * kGiB, "billed");
  Tick();
  ASSERT_EQ(queue_->given.size(), 2U);
  EXPECT_EQ(queue_->given[1].price.Format(), "20.00");
  EXPECT_EQ(queue_->given[1].currency, "ZAR");
  EXPECT_EQ(queue_->given[1].overage, kGiB);
  EXPECT_EQ(Given(), "percent 100, overage 0");
  now_ += 30 * kDay;  // another month, another bill
  Hour("billed");
  EXPECT_EQ(Given(), "overage 0");
}

TEST_F(Watch, AnswersOperators) {
  for (int hour = 0; hour < 30 * 24; ++hour, now_ += kHour) {
    if (hour % 24 == 0) {
      Deliver(10 * kMiB, 2 * kMiB, 5 * kMiB, kMiB);
    }
    Use(SourceKind::kMail, kGiB + static_cast<uint64_t>(hour / 24) * 6 * kMiB);
    Hour();
  }
  const auto forecast = Ask(wire::GrowthQuery::FORECAST);
  ASSERT_EQ(forecast.growth_size(), 1);
  EXPECT_EQ(forecast.growth(0).package(), "gold");
  EXPECT_NEAR(static_cast<double>(forecast.growth(0).growth_a_day()), 6 * kMiB, 10);
  EXPECT_EQ(forecast.growth(0).kept_percent(), 50U);
  EXPECT_TRUE(forecast.growth(0).known());
  EXPECT_EQ(forecast.growth(0).full_on(), "");  // in four years
  const auto days = Ask(wire::GrowthQuery::DAYS);
  ASSERT_EQ(days.points_size(), 29);
  EXPECT_EQ(days.points(28).at(), kStart + 28 * kDay + 23 * kHour);
  EXPECT_EQ(days.points(28).mail(), kGiB + 28 * 6 * kMiB);
  EXPECT_EQ(days.points(28).causes().delivered() - days.points(27).causes().delivered(), 10 * kMiB);
  EXPECT_EQ(days.points(28).causes().removed_imap() - days.points(27).causes().removed_imap(),
            kMiB);
  EXPECT_EQ(Ask(wire::GrowthQuery::HOURS).points_size(), 15);
  const auto sources = Ask(wire::GrowthQuery::SOURCES);
  ASSERT_EQ(sources.points_size(), 29);
  EXPECT_EQ(sources.points(0).source(), "ann@a0.test");
  EXPECT_EQ(Ask(wire::GrowthQuery::WARNINGS).warnings_size(), 0);
  for (int i = 0; i < 30; ++i) {  // percent and week each time
    Use(SourceKind::kMail, kGold);
    Tick();
    Use(SourceKind::kMail, kGiB);
    Tick();
  }
  const auto warnings = Ask(wire::GrowthQuery::WARNINGS);
  ASSERT_EQ(warnings.warnings_size(), 20);
  EXPECT_EQ(warnings.warnings(0).number(), 41U);
  EXPECT_EQ(warnings.warnings(19).number(), 60U);
  wire::AdminResult result;
  wire::GrowthQuery unknown;
  unknown.set_account("nobody");
  EXPECT_EQ(watch_->Answer(unknown, now_, result).code(), Code::kNotFound);
  for (const char* after :
       {"x", "days.2026-01:18446744073709551615", ":", "days.2026-01:-1", "\xff:1"}) {
    EXPECT_EQ(Ask(wire::GrowthQuery::DAYS, "a0", after).points_size() % 29, 0) << after;
  }
}

TEST_F(Watch, HistoryIsAnsweredInParts) {
  for (int hour = 0; hour < 15 * 24; ++hour, now_ += kHour) {
    for (int i = 0; i < 120; ++i) {
      const std::string account = "a" + std::to_string(i);
      Use(SourceKind::kMail, kGiB + static_cast<uint64_t>(hour), account);
      ASSERT_TRUE(watch_->Hour(account, now_).ok());
    }
    Tick();
  }
  int points = 0, parts = 0;
  std::string after;
  for (bool more = true; more; ++parts) {
    const auto result = Ask(wire::GrowthQuery::HOURS, "a7", after);
    points += result.points_size();
    more = result.more();
    after = result.text();
    ASSERT_TRUE(!more || !after.empty());
  }
  EXPECT_EQ(points, 15 * 24);
  EXPECT_GT(parts, 1);
}

TEST_F(Watch, AllAccountsInPages) {
  for (int i = 0; i < 130; ++i) {
    Use(SourceKind::kMail, 1, "x" + std::to_string(i));
  }
  std::string after;
  size_t number = 0;
  for (bool more = true; more;) {
    const auto result = Ask(wire::GrowthQuery::FORECAST, "", after);
    number += static_cast<size_t>(result.growth_size());
    more = result.more();
    ASSERT_GT(result.growth_size(), 0);
    after = result.growth().rbegin()->account();
  }
  EXPECT_EQ(number, 130U + policy_->snapshot.policy.accounts.size());
}

// Issue: 10,000 accounts in under 2 s. The bound is loose, for slow machines under load; the figure
// is in docs/growth.md.
TEST_F(Watch, TenThousandAccounts) {
  constexpr int kAccounts = 10000;
  Policy policy = TestPolicy(kAccounts);
  for (Account& account : policy.accounts) {
    account.package = "bill";
    account.time_zone = "Africa/Johannesburg";
  }
  for (Package& package : policy.packages) {
    package.warn_days = 14;
    package.warn_overage = package.overage ? std::optional(Money()) : std::nullopt;
  }
  policy_ = Loaded(policy);
  Kill();
  const TimeZone zone = TimeZone::Of("Africa/Johannesburg");
  for (int day = 0; day < 44; day += 11, now_ += 11 * kDay) {
    for (int i = 0; i < kAccounts; ++i) {
      const std::string account = "a" + std::to_string(i);
      if (day % 22 == 0) {
        Use(SourceKind::kMail, kGiB + static_cast<uint64_t>(day) * kMiB, account);
      }
      if (day > 30) {
        ASSERT_TRUE(AddSample(*ledger_, account, zone, now_ / kHour, kGiB).ok());
      }
      ASSERT_TRUE(watch_->Hour(account, now_).ok());
    }
    ASSERT_TRUE(ledger_->Save().ok());
  }
  ASSERT_TRUE(ledger_->Commit().ok());
  double slowest = 0, all = 0;
  for (int i = 0; i < kAccounts; i += 500) {
    const auto begin = std::chrono::steady_clock::now();
    for (int k = i; k < i + 500; ++k) {
      ASSERT_TRUE(watch_->Hour("a" + std::to_string(k), now_).ok());
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    slowest = std::max(slowest, took.count());
    all += took.count();
  }
  printf("%d accounts: %.0f ms, 500 of them at most %.1f ms\n", kAccounts, all, slowest);
  EXPECT_LT(all, 6000);
}

}  // namespace
}  // namespace hosting

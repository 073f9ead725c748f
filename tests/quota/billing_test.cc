// Samples and invoices over months, with a clock of the test's: bases, rounding, time zones with
// daylight saving time, restarts, outages, clocks that jump.
#include "quota/billing.h"

#include <algorithm>
#include <filesystem>
#include <random>

#include <gtest/gtest.h>

#include "quota/billing_days.h"
#include "quota/billing_invoice.h"
#include "quota/ledger_lmdb.h"
#include "tests/quota/temp_folder.h"
#include "tests/quota/usage_policy.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr uint64_t kGiB = 1ULL << 30;
constexpr int64_t kHour = 3600;
constexpr int64_t kJan2026 = 1767225600;  // 2026-01-01 00:00 UTC
constexpr int64_t kDay = 86400;

class BillingTest : public ::testing::Test {
 protected:
  BillingTest() { SetPolicy(Basis::kPeak, Rounding::kUp, "UTC"); }

  void SetPolicy(Basis basis, Rounding rounding, const std::string& zone) {
    Policy policy = TestPolicy();
    policy.packages[0].overage->basis = basis;
    policy.packages[0].overage->rounding = rounding;
    for (Account& account : policy.accounts) {
      account.time_zone = zone;
    }
    policy_ = Loaded(policy);
    Restart();
  }
  void Restart() {
    billing_.reset();
    accounts_.reset();
    if (ledger_ != nullptr) {
      ASSERT_TRUE(ledger_->Save().ok());  // what each turn does
    }
    ledger_.reset();
    auto ledger = OpenLmdbLedger(folder_.path());
    ASSERT_TRUE(ledger.ok()) << ledger.status().message();
    ledger_ = std::move(*ledger);
    accounts_ = std::make_unique<UsageAccounts>(*ledger_, policy_);
    billing_ = std::make_unique<Billing>(
        *ledger_, *accounts_, [this](LogLevel, const std::string& text) { log_ += text + "\n"; });
  }
  void Use(uint64_t bytes, const std::string& account = "billed") {
    SourceRow row;
    row.bytes = bytes;
    row.at = now_;
    ASSERT_TRUE(ledger_->Put({account, SourceKind::kMail, "ann@" + account + ".test"}, row).ok());
  }
  void Tick() { ASSERT_TRUE(billing_->Tick(now_, boot_ms_).ok()); }
  // Time goes by with a Tick each half hour.
  void Until(int64_t when) {
    while (now_ < when) {
      const int64_t step = std::min<int64_t>(1800, when - now_);
      now_ += step;
      boot_ms_ += step * 1000;
      Tick();
    }
  }
  wire::Invoice Invoice(const std::string& month, const std::string& account = "billed") {
    wire::InvoiceQuery query;
    query.set_month(month);
    query.set_account(account);
    wire::AdminResult result;
    const Status status = billing_->Answer(query, now_, result);
    EXPECT_TRUE(status.ok()) << status.message();
    return result.invoices_size() == 1 ? result.invoices(0) : wire::Invoice();
  }
  uint32_t Samples(const std::string& month, const std::string& account = "billed") {
    uint32_t number = 0;
    EXPECT_TRUE(ForEachBillingDay(*ledger_, account, month, [&](const BillingDay& day) {
                  number += day.number;
                }).ok());
    return number;
  }

  TempFolder folder_;
  std::shared_ptr<const LoadedPolicy> policy_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<UsageAccounts> accounts_;
  std::unique_ptr<Billing> billing_;
  std::string log_;
  int64_t now_ = kJan2026 - 1, boot_ms_ = 1000;
};

TEST(Units, RoundAsThePackageSays) {
  struct Case {
    uint64_t overage;
    uint64_t up, nearest, down;
  };
  for (const Case& c :
       {Case{0, 0, 0, 0}, Case{1, 1, 0, 0}, Case{49, 1, 0, 0}, Case{50, 1, 1, 0}, Case{99, 1, 1, 0},
        Case{100, 1, 1, 1}, Case{101, 2, 1, 1}, Case{150, 2, 2, 1}}) {
    EXPECT_EQ(Units(c.overage, 100, Rounding::kUp), c.up) << c.overage;
    EXPECT_EQ(Units(c.overage, 100, Rounding::kNearest), c.nearest) << c.overage;
    EXPECT_EQ(Units(c.overage, 100, Rounding::kDown), c.down) << c.overage;
  }
  EXPECT_EQ(Units(UINT64_MAX, 3, Rounding::kNearest), UINT64_MAX / 3);
}

TEST(Calendar, DaysOfZones) {
  const TimeZone johannesburg = TimeZone::Of("Africa/Johannesburg");
  EXPECT_EQ(johannesburg.DayOf(kJan2026 - 7200).Text(), "2026-01-01");
  EXPECT_EQ(johannesburg.DayOf(kJan2026 - 7201).Text(), "2025-12-31");
  // Berlin's 29 March 2026 has 23 hours, its 25 October has 25.
  const TimeZone berlin = TimeZone::Of("Europe/Berlin");
  const int64_t march = kJan2026 + 87 * kDay - kHour;
  EXPECT_EQ(berlin.DayOf(march).Text(), "2026-03-29");
  EXPECT_EQ(berlin.NextDay(march) - march, 23 * kHour);
  const int64_t october = kJan2026 + 297 * kDay - 2 * kHour;
  EXPECT_EQ(berlin.DayOf(october).Text(), "2026-10-25");
  EXPECT_EQ(berlin.NextDay(october) - october, 25 * kHour);
  // Havana's clocks go back from 1:00 to 0:00: no day is without an end.
  const TimeZone havana = TimeZone::Of("America/Havana");
  for (int64_t at = kJan2026; at < kJan2026 + 366 * kDay; at += 1800) {
    ASSERT_GT(havana.NextDay(at), at);
    ASSERT_LE(havana.NextDay(at), at + 25 * kHour);
  }
  EXPECT_EQ(TimeZone::Of("No/Where").DayOf(kJan2026).Text(), "2026-01-01");
}

TEST_F(BillingTest, EachBasis) {
  struct Case {
    Basis basis;
    uint64_t bytes;
  };
  // 15 days at 4 GiB, 15 days at 22 GiB with an hour at 30 GiB, the last day at 16 GiB.
  const uint64_t day_with_peak = (22 * kGiB * 23 + 30 * kGiB) / 24;
  for (const Case& c :
       {Case{Basis::kPeak, 30 * kGiB},
        Case{Basis::kAverage, (4 * kGiB * 15 + 22 * kGiB * 14 + day_with_peak + 16 * kGiB) / 31},
        Case{Basis::kEnd, 16 * kGiB}}) {
    const TempFolder fresh;
    ledger_.reset();
    std::filesystem::remove_all(folder_.path());
    std::filesystem::create_directory(folder_.path());
    now_ = kJan2026 - 1;
    SetPolicy(c.basis, Rounding::kUp, "UTC");
    Use(4 * kGiB);
    Until(kJan2026 + 15 * kDay - 1);
    Use(22 * kGiB);
    Until(kJan2026 + 20 * kDay - 1);
    Use(30 * kGiB);
    Until(kJan2026 + 20 * kDay + kHour - 1);
    Use(22 * kGiB);
    Until(kJan2026 + 30 * kDay - 1);
    Use(16 * kGiB);
    Until(kJan2026 + 31 * kDay - 1);
    EXPECT_FALSE(Invoice("2026-01").final());
    Until(kJan2026 + 31 * kDay + kHour);
    const wire::Invoice invoice = Invoice("2026-01");
    EXPECT_TRUE(invoice.final());
    EXPECT_EQ(invoice.basis_bytes(), c.bytes) << NameOf(c.basis);
    EXPECT_EQ(invoice.limit(), 10 * kGiB);
    EXPECT_EQ(invoice.overage(), c.bytes - 10 * kGiB);
    EXPECT_EQ(invoice.units(), (c.bytes - 10 * kGiB + kGiB - 1) / kGiB);
    EXPECT_EQ(invoice.amount(), std::to_string(20 * invoice.units()) + ".00");
    EXPECT_EQ(invoice.currency(), "ZAR");
    EXPECT_EQ(invoice.samples_size(), 31);
    EXPECT_EQ(Samples("2026-01"), 31U * 24);
  }
}

TEST_F(BillingTest, FinalRowsDoNotChange) {
  Use(12 * kGiB);
  Until(kJan2026 + 33 * kDay);
  const std::string before = Invoice("2026-01").SerializeAsString();
  Policy policy = TestPolicy();
  policy.packages[0].overage->price = *Money::Parse("99.00");
  policy_ = Loaded(policy);
  Restart();
  EXPECT_EQ(Invoice("2026-01").SerializeAsString(), before);
  EXPECT_EQ(Invoice("2026-02").price(), "99.00");
  EXPECT_FALSE(Invoice("2026-02").final());
  // Nor when the account has gone.
  ASSERT_TRUE(ledger_->Remove({"billed", SourceKind::kMail, "ann@billed.test"}).ok());
  EXPECT_EQ(Invoice("2026-01").SerializeAsString(), before);
  wire::InvoiceQuery query;
  query.set_month("2026-01");
  wire::AdminResult result;
  ASSERT_TRUE(billing_->Answer(query, now_, result).ok());
  EXPECT_EQ(result.invoices_size(), 1);
  query.set_month("2026-13");
  EXPECT_EQ(billing_->Answer(query, now_, result).code(), Code::kInvalid);
}

// A year in a zone with daylight saving time, restarts at any time: each hour counts once.
TEST_F(BillingTest, NoSampleIsLostOrCountedTwice) {
  for (const std::string& zone : {std::string("Europe/Berlin"), std::string("Africa/Johannesburg"),
                                  std::string("Asia/Kathmandu"), std::string("America/Havana")}) {
    ledger_.reset();
    std::filesystem::remove_all(folder_.path());
    std::filesystem::create_directory(folder_.path());
    now_ = kJan2026 - 350 * kDay;  // days are kept for 13 months
    SetPolicy(Basis::kAverage, Rounding::kUp, zone);
    std::mt19937_64 random(1);
    Use(11 * kGiB);
    Tick();
    const int64_t first = now_ / kHour;
    while (now_ < kJan2026 + 10 * kDay) {
      switch (random() % 4) {
        case 0:
          Restart();
          break;
        case 1: {  // down for a while, across midnights and months
          const auto away = static_cast<int64_t>(random() % (3 * kDay));
          Restart();
          now_ += away;
          boot_ms_ += away * 1000;
          break;
        }
        default:
          break;
      }
      Until(now_ + static_cast<int64_t>(random() % (5 * kDay)));
    }
    uint32_t samples = 0;
    ASSERT_TRUE(ForEachBillingDay(*ledger_, "billed", "", [&](const BillingDay& day) {
                  samples += day.number;
                  EXPECT_LE(day.number, 25U);
                }).ok());
    EXPECT_EQ(samples, now_ / kHour - first + 1) << zone;
    for (const char* month : {"2025-03", "2025-10", "2025-12"}) {
      EXPECT_TRUE(Invoice(month).final());
      EXPECT_EQ(Invoice(month).basis_bytes(), 11 * kGiB);
    }
    EXPECT_EQ(Samples("2025-03"), zone == "Europe/Berlin" || zone == "America/Havana" ? 743U : 744U)
        << zone;
    if (HasFailure()) {
      return;
    }
  }
}

TEST_F(BillingTest, MonthEndsWhereTheAccountIs) {
  SetPolicy(Basis::kPeak, Rounding::kUp, "Africa/Johannesburg");  // two hours ahead
  Use(11 * kGiB);
  Until(kJan2026 + 31 * kDay - 2 * kHour - 1);
  EXPECT_FALSE(Invoice("2026-01").final());
  Use(50 * kGiB);  // in the last second of the month: the sample of its hour was taken
  Until(kJan2026 + 31 * kDay - 2 * kHour);
  EXPECT_TRUE(Invoice("2026-01").final());
  EXPECT_EQ(Invoice("2026-01").basis_bytes(), 11 * kGiB);
  EXPECT_EQ(Invoice("2026-02").basis_bytes(), 50 * kGiB);
}

TEST_F(BillingTest, ClockThatJumpsAndComesBackLeavesNoTrace) {
  Use(11 * kGiB);
  Until(kJan2026 + 10 * kDay);
  const uint32_t before = Samples("2026-01");
  now_ += 60 * kDay;
  for (int i = 0; i < 500; ++i) {  // 500 s
    boot_ms_ += 1000;
    now_ += 1;
    Tick();
  }
  now_ -= 60 * kDay;
  boot_ms_ += 1000;
  Tick();
  EXPECT_NE(log_.find("the clock jumped"), std::string::npos);
  EXPECT_EQ(Samples("2026-01"), before);
  EXPECT_FALSE(Invoice("2026-01").final());
  Until(kJan2026 + 10 * kDay + 5 * kHour);
  EXPECT_EQ(Samples("2026-01"), before + 5);
}

TEST_F(BillingTest, ClockThatIsSetBackCountsNoHourTwice) {
  Use(11 * kGiB);
  Until(kJan2026 + 10 * kDay);
  const uint32_t before = Samples("2026-01");
  now_ -= 10 * kHour;
  Until(kJan2026 + 10 * kDay);
  EXPECT_EQ(Samples("2026-01"), before);
  Until(kJan2026 + 10 * kDay + 3 * kHour);
  EXPECT_EQ(Samples("2026-01"), before + 3);
}

TEST_F(BillingTest, WrongClockAtStartIsNotBelievedAtOnce) {
  Use(11 * kGiB);
  Until(kJan2026 + 10 * kDay);
  const uint32_t before = Samples("2026-01");
  Restart();
  now_ = 1000;  // the battery of the clock is empty
  boot_ms_ = 5000;
  Tick();
  EXPECT_EQ(Samples("2026-01"), before);
  EXPECT_EQ(Samples("1970-01"), 0U);
  now_ = kJan2026 + 10 * kDay + kHour;
  boot_ms_ += 60000;
  Tick();
  Until(now_ + kHour);
  EXPECT_EQ(Samples("2026-01"), before + 2);
}

TEST_F(BillingTest, ManyAccountsComeInPages) {
  Policy policy = TestPolicy(1500);
  policy_ = Loaded(policy);
  Restart();
  now_ = kJan2026 + 31 * kDay - 3 * kHour - 1;
  for (int i = 0; i < 1500; ++i) {
    Use(static_cast<uint64_t>(i), "a" + std::to_string(i));
  }
  for (int i = 0; i < 20; ++i) {  // 100 accounts each
    now_ += 2;
    boot_ms_ += 2000;
    Tick();
  }
  Until(kJan2026 + 31 * kDay - 1);
  for (int i = 0; i < 20; ++i) {
    now_ += 2;
    boot_ms_ += 2000;
    Tick();
  }
  for (int i = 0; i < 700; ++i) {
    ASSERT_TRUE(ledger_
                    ->Remove({"a" + std::to_string(i), SourceKind::kMail,
                              "ann@a" + std::to_string(i) + ".test"})
                    .ok());
  }
  wire::InvoiceQuery query;
  query.set_month("2026-01");
  std::vector<std::string> names;
  wire::AdminResult result;
  do {
    result.Clear();
    ASSERT_TRUE(billing_->Answer(query, now_, result).ok());
    ASSERT_LT(result.ByteSizeLong(), 60000U);
    for (const auto& invoice : result.invoices()) {
      names.push_back(invoice.account());
      EXPECT_TRUE(invoice.final());
    }
    query.set_after(names.back());
  } while (result.more());
  EXPECT_EQ(names.size(), 1500U);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

TEST_F(BillingTest, OldDaysAreDropped) {
  Use(11 * kGiB);
  now_ = kJan2026 - 1;
  Until(kJan2026 + 32 * kDay);
  EXPECT_GT(Samples("2026-01"), 700U);
  for (int month = 0; month < 14; ++month) {
    Until(now_ + 31 * kDay);
  }
  EXPECT_EQ(Samples("2026-01"), 0U);
  EXPECT_TRUE(Invoice("2026-01").final());
}

}  // namespace
}  // namespace hosting

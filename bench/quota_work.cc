#include "bench/quota_work.h"

#include <algorithm>
#include <filesystem>

#include "bench/must.h"
#include "quota/ledger_lmdb.h"

namespace lbox::bench {
namespace {

using hosting::SourceKind;
using hosting::SourceRow;

constexpr uint32_t kMailUid = 5000, kUsers = 5, kTogether = 100, kMostSessions = 1000;
constexpr int64_t kNow = 1800000000;  // Unix seconds
constexpr int32_t kToday = static_cast<int32_t>(kNow / hosting::kSecondsADay);

std::string AccountName(uint32_t number) {
  return "customer-" + std::to_string(number) + ".example";
}

std::string UserName(uint32_t account, uint32_t user) {
  return "user" + std::to_string(user) + "@" + AccountName(account);
}

// Numbers that look like chance and are the same in each run.
uint32_t Scattered(uint64_t number, uint32_t below) {
  return static_cast<uint32_t>((number * 0x9e3779b97f4a7c15U >> 32) % below);
}

hosting::Policy MakePolicy(uint32_t accounts) {
  hosting::Policy policy;
  policy.service.mail_uids = {kMailUid};
  hosting::Package& package = policy.packages.emplace_back();
  package.name = "gold";
  package.limit = 10ULL << 30;
  package.mailbox_limit = 2ULL << 30;
  for (uint32_t i = 0; i < accounts; ++i) {
    hosting::Account& account = policy.accounts.emplace_back();
    account.name = AccountName(i);
    account.package = "gold";
    account.domains = {account.name};
    account.web_roots = {"/srv/www/" + account.name};
  }
  std::sort(policy.accounts.begin(), policy.accounts.end(),
            [](const hosting::Account& a, const hosting::Account& b) { return a.name < b.name; });
  return policy;
}

void Fill(hosting::Ledger& ledger, uint32_t accounts) {
  for (uint32_t i = 0; i < accounts; ++i) {
    SourceRow row;
    row.bytes = 50'000'000;
    row.messages = 1000;
    row.at = row.counted_at = kNow;
    for (uint32_t user = 0; user < kUsers; ++user) {
      Must(ledger.Put({AccountName(i), SourceKind::kMail, UserName(i, user)}, row));
    }
    Must(ledger.Put({AccountName(i), SourceKind::kWeb, "/srv/www/" + AccountName(i)}, row));
  }
  Must(ledger.Commit());
}

}  // namespace

QuotaWork::QuotaWork(uint32_t accounts)
    : accounts_(accounts), sessions_(std::min(accounts, kMostSessions)) {
  const char* parent = getenv("TMPDIR");
  folder_ = std::string(parent != nullptr ? parent : "/tmp") + "/hosting-bench.XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) {
    Fail("cannot make " + folder_);
  }
  hosting::PolicySnapshot snapshot;
  snapshot.policy = MakePolicy(accounts);
  logins_ = Must(hosting::LoginTable::Open(hosting::EncodeLoginTable(snapshot.policy, 1)));
  policy_ = std::make_shared<const hosting::LoadedPolicy>(std::move(snapshot));
  ledger_ = Must(hosting::OpenLmdbLedger(folder_));
  Fill(*ledger_, accounts);
  hosting::UsageService::Options options;
  options.clock = {[this] { return kNow + now_ms_ / 1000; }, [this] { return now_ms_; }};
  options.boot_id = "bench";
  options.log = [](hosting::LogLevel, const std::string&) {};
  service_ = std::make_unique<hosting::UsageService>(*ledger_, policy_, std::move(options));
  Must(service_->Start());
  for (uint32_t i = 0; i < sessions_; ++i) {
    hosting::wire::Request request;
    request.set_id(1);
    request.mutable_hello()->set_user(UserName(i, 0));
    request.mutable_hello()->set_service("imap");
    service_->Connected(i + 1, kMailUid);
    service_->Handle(i + 1, request);
  }
  Must(service_->Flush());
  service_->TakeOutgoing();
  for (int32_t day = hosting::kForecastDays; day > 0; --day) {
    points_.push_back(
        {kToday - day,
         (5000 - static_cast<uint64_t>(day) * 20 - Scattered(static_cast<uint64_t>(day), 9))
             << 20});
  }
}

QuotaWork::~QuotaWork() {
  service_.reset();
  ledger_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void QuotaWork::Send() {
  const uint64_t number = ++counter_;
  hosting::wire::Request request;
  request.set_id(number);
  auto& report = *request.mutable_report();
  report.mutable_usage()->set_bytes(50'000'000 + number % 1000);
  report.mutable_usage()->set_messages(1000);
  report.mutable_version()->set_instance(std::string(16, 's'));
  report.mutable_version()->set_counter(number);
  service_->Handle(1 + Scattered(number, sessions_), request);
}

void QuotaWork::Report() {
  Send();
  Must(service_->Flush());
  if (service_->TakeOutgoing().empty()) {
    Fail("a report was not answered");
  }
}

void QuotaWork::ReportTogether() {
  for (uint32_t i = 0; i < kTogether; ++i) {
    Send();
  }
  Must(service_->Flush());
  if (service_->TakeOutgoing().size() < kTogether) {
    Fail("a report was not answered");
  }
}

std::string QuotaWork::SomeUser() {
  const uint64_t number = ++counter_;
  return UserName(Scattered(number, accounts_), static_cast<uint32_t>(number % kUsers));
}

void QuotaWork::Total() {
  if (Must(ledger_->Totals(AccountName(Scattered(++counter_, accounts_)))).sources == 0) {
    Fail("an account is missing");
  }
}

void QuotaWork::PolicyLookup() {
  if (!policy_->index.EffectiveOf(SomeUser(), {})) {
    Fail("an account is missing");
  }
}

void QuotaWork::LoginLookup() {
  hosting::LoginRules rules;
  std::string problem;
  if (!logins_->Find(SomeUser(), {}, &rules, &problem)) {
    Fail("an account is missing");
  }
}

void QuotaWork::Forecast() {
  hosting::AccountTotals totals;
  totals.mail = 5000ULL << 20;
  if (!hosting::OutlookOf(totals, 10ULL << 30, hosting::TimeZone::Of("UTC"), points_, kNow).known) {
    Fail("no forecast");
  }
}

}  // namespace lbox::bench

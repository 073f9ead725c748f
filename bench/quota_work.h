// QuotaWork: what the benchmarks do with packages and usage, one method an operation.
//
// Purpose: the same work for wall clock (quota_bench, Google Benchmark) and for instruction counts
// (instruction_count). Ownership: a ledger in a folder of its own (below $TMPDIR or /tmp), which it
// removes, and a service without sockets. One process, one thread. Failure: exits with the
// message.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quota/growth_forecast.h"
#include "quota/ledger.h"
#include "quota/login_table.h"
#include "quota/usage_service.h"

namespace lbox::bench {

class QuotaWork {
 public:
  // So many accounts of five mailboxes and a web root each.
  explicit QuotaWork(uint32_t accounts);
  ~QuotaWork();
  QuotaWork(const QuotaWork&) = delete;
  QuotaWork& operator=(const QuotaWork&) = delete;

  void Report();          // of one session, until its answer may leave: Handle and Flush
  void ReportTogether();  // the same of 100 sessions in one turn of the service
  void Total();           // of an account, by the ledger
  void PolicyLookup();    // package and limits of a user, by the policy
  void LoginLookup();     // the same with rules about protocols, by auth's table
  void Forecast();        // of an account, from 42 days

 private:
  void Send();
  std::string SomeUser();

  std::string folder_;
  int64_t now_ms_ = 0;
  std::shared_ptr<const hosting::LoadedPolicy> policy_;
  std::shared_ptr<const hosting::LoginTable> logins_;
  std::unique_ptr<hosting::Ledger> ledger_;
  std::unique_ptr<hosting::UsageService> service_;
  std::vector<hosting::GrowthPoint> points_;
  uint32_t accounts_ = 0, sessions_ = 0;
  uint64_t counter_ = 0;
};

}  // namespace lbox::bench

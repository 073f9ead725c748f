// Packages and usage by wall clock, at growing numbers of accounts.
#include <benchmark/benchmark.h>

#include "bench/quota_work.h"

namespace {

using lbox::bench::QuotaWork;

void Run(benchmark::State& state, void (QuotaWork::*step)()) {
  QuotaWork work(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    (work.*step)();
  }
  state.SetItemsProcessed(state.iterations());
}

void Accounts(benchmark::internal::Benchmark* it) {
  it->Arg(1000)
      ->Arg(10000)
      ->Arg(100000)
      ->ArgName("accounts")
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

BENCHMARK_CAPTURE(Run, LedgerReport, &QuotaWork::Report)->Apply(Accounts);
BENCHMARK_CAPTURE(Run, LedgerReport100, &QuotaWork::ReportTogether)->Apply(Accounts);
BENCHMARK_CAPTURE(Run, Total, &QuotaWork::Total)->Apply(Accounts);
BENCHMARK_CAPTURE(Run, PolicyLookup, &QuotaWork::PolicyLookup)->Apply(Accounts);
BENCHMARK_CAPTURE(Run, LoginLookup, &QuotaWork::LoginLookup)->Apply(Accounts);
BENCHMARK_CAPTURE(Run, Forecast, &QuotaWork::Forecast)->Apply(Accounts);

}  // namespace

// The store's operations by wall clock, at growing sizes of the mailbox. Flushes are real: have
// $TMPDIR on the disk you ask about.
#include <benchmark/benchmark.h>

#include "bench/storage_work.h"

namespace {

using lbox::bench::StorageWork;
using Step = void (StorageWork::*)();

void Run(benchmark::State& state, Step step, bool sync) {
  StorageWork work(static_cast<uint32_t>(state.range(0)), sync);
  for (auto _ : state) {
    (work.*step)();
  }
  state.SetItemsProcessed(state.iterations());
}

void Scan(benchmark::State& state) {
  StorageWork work(static_cast<uint32_t>(state.range(0)), false);
  uint64_t rows = 0;
  for (auto _ : state) {
    rows += work.Scan();
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
}

void AccountUsage(benchmark::State& state) {
  StorageWork work(static_cast<uint32_t>(state.range(0)), false);
  work.AddMailboxes(98);  // there are two
  for (auto _ : state) {
    benchmark::DoNotOptimize(work.AccountUsage());
  }
}

void Reclaim(benchmark::State& state) {
  StorageWork work(static_cast<uint32_t>(state.range(0)), true);
  for (auto _ : state) {
    state.PauseTiming();
    work.FillForReclaim();
    state.ResumeTiming();
    work.Reclaim();
  }
}

void Rebuild(benchmark::State& state) {
  StorageWork work(static_cast<uint32_t>(state.range(0)), false);
  for (auto _ : state) {
    work.Rebuild();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void Sizes(benchmark::internal::Benchmark* it) {
  it->Arg(1000)
      ->Arg(10000)
      ->Arg(100000)
      ->Arg(1000000)
      ->ArgName("messages")
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

BENCHMARK_CAPTURE(Run, Deliver, &StorageWork::Deliver, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, DeliverWithoutFlush, &StorageWork::Deliver, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, DeliverBatch, &StorageWork::DeliverBatch, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, ReadHeader, &StorageWork::ReadHeader, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, ReadBody, &StorageWork::ReadBody, false)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, ChangeFlag, &StorageWork::ChangeFlag, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, Copy, &StorageWork::Copy, true)->Apply(Sizes);
BENCHMARK_CAPTURE(Run, Expunge, &StorageWork::Expunge, true)->Apply(Sizes);
BENCHMARK(Scan)->Apply(Sizes);
BENCHMARK(AccountUsage)->Apply(Sizes);
BENCHMARK(Reclaim)->Apply(Sizes);
BENCHMARK(Rebuild)->Apply(Sizes);

}  // namespace

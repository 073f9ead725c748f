// One of the main operations, for callgrind: instruction_count STEP. Nothing is counted but the
// operation, 200 times, after 20 that warm up. bench/instructions runs it and compares with the
// baseline.
#include <cstdio>
#include <cstring>

#include <valgrind/callgrind.h>

#include "bench/quota_work.h"
#include "bench/storage_work.h"

namespace {

using lbox::bench::QuotaWork;
using lbox::bench::StorageWork;

constexpr int kWarmUp = 20, kCounted = 200;
constexpr uint32_t kMessages = 2000, kAccounts = 1000;

template <typename Work, typename Step>
void Count(Work& work, Step step) {
  for (int i = 0; i < kWarmUp; i++) {
    (work.*step)();
  }
  CALLGRIND_TOGGLE_COLLECT;
  for (int i = 0; i < kCounted; i++) {
    (work.*step)();
  }
  CALLGRIND_TOGGLE_COLLECT;
}

template <auto step>
void OfStorage() {
  StorageWork work(kMessages, false);
  Count(work, step);
}

template <auto step>
void OfQuota() {
  QuotaWork work(kAccounts);
  Count(work, step);
}

struct Step {
  const char* name;
  void (*run)();
};

constexpr Step kSteps[] = {
    {"deliver", OfStorage<&StorageWork::Deliver>},
    {"read-header", OfStorage<&StorageWork::ReadHeader>},
    {"read-body", OfStorage<&StorageWork::ReadBody>},
    {"change-flag", OfStorage<&StorageWork::ChangeFlag>},
    {"copy", OfStorage<&StorageWork::Copy>},
    {"expunge", OfStorage<&StorageWork::Expunge>},
    {"scan", OfStorage<&StorageWork::Scan>},
    {"ledger-report", OfQuota<&QuotaWork::Report>},
    {"total", OfQuota<&QuotaWork::Total>},
    {"policy-lookup", OfQuota<&QuotaWork::PolicyLookup>},
    {"login-lookup", OfQuota<&QuotaWork::LoginLookup>},
    {"forecast", OfQuota<&QuotaWork::Forecast>},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Step& step : kSteps) {
    if (argc != 2) {
      puts(step.name);
    } else if (strcmp(argv[1], step.name) == 0) {
      step.run();
      return 0;
    }
  }
  return argc == 2 ? 64 : 0;
}

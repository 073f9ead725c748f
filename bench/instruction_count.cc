// One of the main operations, for callgrind: instruction_count STEP. Nothing is counted but the
// operation, 200 times, after 20 that warm up. bench/instructions runs it and compares with the
// baseline.
#include <cstdio>
#include <cstring>

#include <valgrind/callgrind.h>

#include "bench/storage_work.h"

namespace {

using lbox::bench::StorageWork;

struct Step {
  const char* name;
  void (*run)(StorageWork&);
};

constexpr Step kSteps[] = {
    {"deliver", [](StorageWork& work) { work.Deliver(); }},
    {"read-header", [](StorageWork& work) { work.ReadHeader(); }},
    {"read-body", [](StorageWork& work) { work.ReadBody(); }},
    {"change-flag", [](StorageWork& work) { work.ChangeFlag(); }},
    {"copy", [](StorageWork& work) { work.Copy(); }},
    {"expunge", [](StorageWork& work) { work.Expunge(); }},
    {"scan", [](StorageWork& work) { work.Scan(); }},
};
constexpr int kWarmUp = 20, kCounted = 200;
constexpr uint32_t kMessages = 2000;

}  // namespace

int main(int argc, char** argv) {
  for (const Step& step : kSteps) {
    if (argc != 2) {
      puts(step.name);
    } else if (strcmp(argv[1], step.name) == 0) {
      StorageWork work(kMessages, false);
      for (int i = 0; i < kWarmUp; i++) {
        step.run(work);
      }
      CALLGRIND_TOGGLE_COLLECT;
      for (int i = 0; i < kCounted; i++) {
        step.run(work);
      }
      CALLGRIND_TOGGLE_COLLECT;
      return 0;
    }
  }
  return argc == 2 ? 64 : 0;
}

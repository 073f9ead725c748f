// Cuts the power at every point of a recorded workload and looks at what is left.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "tests/fault/disk.h"
#include "tests/fault/workload.h"

namespace lbox::testing {

// How far apart the points are that are tested: `step`; every one when the environment has
// LBOX_FAULT_ALL; fewer under a sanitizer, which looks for other things.
size_t Thinned(size_t step);

struct CrashOptions {
  std::vector<CutKind> cuts{std::begin(kAllCuts), std::end(kAllCuts)};
  size_t first = 0, stride = 1;  // of the points
  size_t afterwards =
      4;  // after every so manieth boot mail is delivered, expunged, disk freed; 0: never
  bool bodies = true;     // every stored byte is checked
  size_t told = 5;        // failures that are described
  size_t enough = 50;     // failures after which it stops
  Disk::Ignored ignored;  // flushes that the disk does not do
  std::string store = kStoreFolder;
};

struct CrashReport {
  size_t points = 0, boots = 0;  // points of the trace; folders made of them, opened and checked
  size_t failed = 0;             // of the boots
  std::vector<std::string> failures;
  double seconds = 0;
};

// What is wrong with a store that must hold one of `expected`. afterwards: mail is delivered to it,
// expunged, disk freed.
std::vector<std::string> LookAtBoot(const std::string& store,
                                    const std::vector<const Model*>& expected,
                                    const CrashOptions& options, bool afterwards);

// Uses the folder `work`, which is its own.
CrashReport TestCrashPoints(const Recording& recording, const std::string& work,
                            const CrashOptions& options);

}  // namespace lbox::testing

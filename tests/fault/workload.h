// The scripted workloads whose every crash point is tested, recorded as traces.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/fault/disk.h"
#include "tests/fault/driver.h"
#include "tests/fault/trace.h"

namespace lbox::testing {

// The store's folder within the recorded one: its parents are not there either at the beginning.
inline constexpr char kStoreFolder[] = "vmail/ann/lbox";

struct Step {
  std::string name;
  size_t end = 0;  // acknowledged before this call of the trace
  Model after;
};

struct Recording {
  Trace trace;
  std::vector<Step> steps;
  std::vector<Model> start{{}};  // what it may hold at the beginning
  size_t begin = 0;              // of the calls of `steps`

  // What the store must hold when the power goes before call `point`: the state after the last step
  // that was acknowledged, or that after the step under way. `halfway`: half of that call was made.
  [[nodiscard]] std::vector<const Model*> Expected(size_t point, bool halfway = false) const;
  // Where in the script that is, for messages.
  [[nodiscard]] std::string Describe(size_t point) const;
};

class Script {
 public:
  // Starts recording in the empty folder `folder`.
  explicit Script(std::string folder);
  // Goes on from a store that holds what `models` says, or one of them.
  Script(std::string folder, Trace start, std::vector<Model> models);

  void Do(const std::string& name, const std::function<Status(Driver&)>& action);
  // Opens the store that it goes on from, and sees which model it is.
  void Resume();
  Recording Finish();

 private:
  const std::string folder_;
  Recorder recorder_;
  Driver driver_;
  std::vector<Step> steps_;
  const std::vector<Model> start_{{}};
  const size_t begin_ = 0;
};

using Record = Recording (*)(const std::string& folder);

StoreOptions StoreIn(const std::string& folder);  // a store that flushes

// No store.
Recording RecordNothing(const std::string& folder);
// Two mailboxes with a few messages of all kinds, and something to free.
Recording RecordSmallStore(const std::string& folder);
// As RecordShrink, short of shrinking.
Recording RecordShrinkable(const std::string& folder);
// Everything that a mail user does, on a small store.
Recording RecordEverything(const std::string& folder);
// One operation, as the dice fall.
Status RandomStep(Driver& d, std::mt19937_64& dice);
// Some forty operations, other ones for each seed.
Recording RecordRandom(const std::string& folder, uint64_t seed);
// An index that has grown and shrinks into its next generation.
Recording RecordShrink(const std::string& folder);
// A batch that fills one pack and begins the next.
Recording RecordPackRoll(const std::string& folder);

// What the next program does with a store that the recorded one left at call `point`, in the empty
// folder `folder`. kKilled: what was not flushed then is not flushed now; else as this cut left it.
Recording RecordNext(const Recording& recording, size_t point, CutKind cut,
                     const std::string& folder);

}  // namespace lbox::testing

// The fixture of the tests of rebuilding: a store with its model, lost and rebuilt.
#pragma once

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "storage/store_check.h"
#include "tests/fault/rebuild_support.h"
#include "tests/fault/workload.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {

inline NewMail Mail(uint64_t seed, size_t size = 800) {
  return {Noise(size, seed), 0, {}, ""};
}

class RebuildTest : public ::testing::Test {
 protected:
  RebuildTest() : options_(OptionsFor(folder_ / "store")), driver_(options_) {}

  void Must(const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); }
  void MustOpen() { Must(driver_.Open()); }

  void RandomSteps(uint64_t seed, int count) {
    std::mt19937_64 dice(seed);
    for (int i = 0; i < count && !HasFailure(); i++) {
      SCOPED_TRACE("step " + std::to_string(i) + " of seed " + std::to_string(seed));
      Must(RandomStep(driver_, dice));
      if (driver_.open() && !driver_.model.empty() && dice() % 10 == 0) {
        Must(Update(driver_.model.begin()->first, dice));
      }
    }
    if (!driver_.open()) {
      MustOpen();
    }
  }

  Status Update(int box, std::mt19937_64& dice) {
    MailboxUpdate update;
    ModelMailbox& model = driver_.model[box];
    update.min_first_recent_uid = 1 + static_cast<uint32_t>(dice() % model.next_uid);
    update.min_modseq_ceiling = 1 + dice() % 5000;
    if (dice() % 2 == 0) {
      update.min_next_uid = model.next_uid + 1 + static_cast<uint32_t>(dice() % 3);
      model.next_uid = update.min_next_uid;
      model.change++;
    }
    return driver_.store().UpdateMailbox(MakeGuid(static_cast<uint64_t>(box)), update);
  }

  // What the store tells before and after, the index lost between.
  void LoseAndRebuild(const Loss& loss, bool next_uids = true) {
    const auto before = TellAll(driver_.store(), next_uids);
    ASSERT_TRUE(before.ok()) << before.status().message();
    before_ = *before;
    driver_.Close();
    Lose(options_.path, loss);
    report_ = MustRebuild(options_);
    MustOpen();
    const auto after = TellAll(driver_.store(), next_uids);
    ASSERT_TRUE(after.ok()) << after.status().message();
    after_ = *after;
  }

  void ExpectSame() {
    EXPECT_EQ(before_, after_) << ToText(report_);
    EXPECT_FALSE(report_.journal_gap);
    EXPECT_FALSE(report_.tail_doubtful);
    EXPECT_EQ(report_.lost_count, 0u);
    EXPECT_EQ(report_.doubtful_count, 0u);
    FollowJumps(driver_, true);
    ExpectSound();
  }

  void ExpectSound() {
    for (const std::string& problem : driver_.Problems()) {
      ADD_FAILURE() << problem;
    }
  }
  // The store's own check, when it may hold more than the model.
  void ExpectChecked(bool bodies = true) {
    const auto report = CheckStore(driver_.store(), {true, bodies});
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& problem : report->problems) {
      ADD_FAILURE() << problem;
    }
  }
  void ExpectNoneMissing() {
    for (const std::string& problem : Missing(driver_.store(), driver_.model)) {
      ADD_FAILURE() << problem << '\n' << ToText(report_);
    }
  }

  TempFolder folder_;
  const StoreOptions options_;
  Driver driver_;
  RebuildReport report_;
  std::string before_, after_;
};

// How many seeds are tried: LBOX_FAULT_SEEDS, or else this many.
inline size_t Seeds(size_t usual) {
  const char* count = getenv("LBOX_FAULT_SEEDS");
  return count == nullptr ? usual : strtoull(count, nullptr, 10);
}

}  // namespace lbox::testing

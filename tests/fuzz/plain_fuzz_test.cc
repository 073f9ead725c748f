// Drives a fuzz target where libFuzzer is not to be had: its seeds, and simple changes to them, the
// same in every run.
#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/fuzz/fuzz_target.h"
#include "tests/unit/test_support.h"

namespace lbox::fuzz {
namespace {

void Feed(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string Changed(std::string input, Random& random) {
  for (uint64_t changes = 1 + random.Below(4); changes > 0 && !input.empty(); changes--) {
    const size_t at = random.Below(input.size());
    switch (random.Below(6)) {
      case 0:
        input.resize(at);
        break;
      case 1:
        input.insert(at, 1 + random.Below(9), static_cast<char>(random.Next()));
        break;
      case 2:
        input.erase(at, 1 + random.Below(9));
        break;
      case 3:  // a number at its limit
        for (size_t i = at; i < std::min(at + (size_t{1} << random.Below(4)), input.size()); i++) {
          input[i] = random.Below(2) == 0 ? '\xff' : '\0';
        }
        break;
      default:
        input[at] = static_cast<char>(input[at] ^ (1 << random.Below(8)));
    }
  }
  return input;
}

TEST(PlainFuzz, SeedsAndChangesToThem) {
  const char* given = getenv("LBOX_FUZZ_RUNS");
  const uint64_t runs = given != nullptr ? strtoull(given, nullptr, 10) : 100'000;
  const auto seeds = Seeds();
  ASSERT_FALSE(seeds.empty());
  Random random(20);
  Feed("");
  for (const std::string& seed : seeds) {
    const uint64_t before = reached;
    Feed(seed);
    EXPECT_GT(reached, before) << "a seed is not accepted";
  }
  const uint64_t before = reached;
  for (uint64_t i = 0; i < runs; i++) {
    Feed(Changed(seeds[random.Below(seeds.size())], random));
  }
  // Where checksums are not repaired, next to nothing gets there.
  EXPECT_GT(reached - before, runs / 50);
}

TEST(PlainFuzz, AFailureIsSeen) {
  EXPECT_DEATH(Require(false, "this is one"), "fuzz: this is one");
}

}  // namespace
}  // namespace lbox::fuzz

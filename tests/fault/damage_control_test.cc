// The control of damage_test.cc: a store that trusts every hash. The same damage must bring wrong
// mail, and the same reading must notice; else those tests would see nothing either.
#include <gtest/gtest.h>

#include "storage/checksum.h"
#include "storage/store_check.h"
#include "tests/fault/damage_store.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;

TEST(DamageControl, WithoutHashesWrongBytesComeThrough) {
  ASSERT_EQ(Hash64("a", 1), Hash64("b", 1)) << "hashes are on";
  TempFolder folder;
  const std::string path = folder / "store";
  const auto messages = MakeDamageStore(path, 1);
  const Files files = Load(path);
  const auto store = MustOpen(OptionsFor(path));
  ASSERT_NE(store, nullptr);
  ASSERT_EQ(ReadEverything(*store, messages).right, Present(messages));
  for (const auto& [prefix, stride] : {std::pair{"p/", 5}, std::pair{"l/", 9973}}) {
    size_t tried = 0, wrong = 0, unnoticed = 0;
    for (const auto& [name, good] : files) {
      for (size_t at = 0; name.starts_with(prefix) && at < good.size();
           at += static_cast<size_t>(stride)) {
        Poke(path + "/" + name, at, static_cast<char>(good[at] ^ 1));
        tried++;
        if (!ReadEverything(*store, messages).wrong.empty()) {
          wrong++;
          unnoticed += CheckStore(*store, {true, true})->findings.empty() ? 1 : 0;
        }
        Poke(path + "/" + name, at, good[at]);
      }
    }
    EXPECT_GT(wrong, tried / 10) << prefix;
    EXPECT_GT(unnoticed, 0u) << prefix;
  }
}

}  // namespace
}  // namespace lbox

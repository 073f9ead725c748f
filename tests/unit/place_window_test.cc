// Bodies read one after the other: the right ones in few transactions, whatever happens to their
// packs meanwhile.
#include "storage/place_window.h"

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "storage/store_impl.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;

constexpr uint32_t kMessages = 600;

class PlaceWindowTest : public ::testing::Test {
 protected:
  PlaceWindowTest() {
    store_ = MustOpen(OptionsFor(folder_ / "store"));
    box_ = MustCreate(*store_, 1);
    other_ = MustCreate(*store_, 2);
    for (uint32_t i = 0; i < kMessages; i++) {
      auto staged = std::move(Stage(*store_, Text(i)).value());
      NewMessage message;
      message.staged = staged.get();
      message.wanted_uid = UidOf(i);
      EXPECT_TRUE(store_->Save(i % 50 == 7 ? other_ : box_, 1, {&message, 1}, {}).ok());
    }
  }

  static uint32_t UidOf(uint32_t i) { return 1 + i * 3; }  // with gaps
  static std::string Text(uint32_t i) { return Noise(i % 100 == 3 ? 200000 : 20 + i, i); }
  [[nodiscard]] Guid BoxOf(uint32_t i) const { return i % 50 == 7 ? other_ : box_; }

  // Header first or all at once: the same bytes.
  void ExpectBody(Store& store, uint32_t i) {
    for (const BodyPart part : {BodyPart::kHeader, BodyPart::kAll}) {
      const auto reader = store.OpenBody(BoxOf(i), UidOf(i), part);
      ASSERT_TRUE(reader.ok()) << i << ": " << reader.status().message();
      EXPECT_TRUE(ReadText(**reader).value() == Text(i)) << i;
    }
  }
  uint64_t Transactions(const std::function<void()>& work) {
    auto& index = *StoreImpl::Of(*store_).index;
    uint64_t reads = index.reads();
    work();
    return index.reads() - reads;
  }

  TempFolder folder_;
  std::shared_ptr<Store> store_;
  Guid box_, other_;
};

TEST_F(PlaceWindowTest, InOrderBackwardsAndAnyhow) {
  for (uint32_t i = 0; i < kMessages; i++) {
    ExpectBody(*store_, i);
  }
  for (uint32_t i = kMessages; i-- > 0;) {
    ExpectBody(*store_, i);
  }
  for (uint32_t i = 0; i < kMessages; i++) {
    ExpectBody(*store_, i * 367 % kMessages);
  }
}

TEST_F(PlaceWindowTest, InOrderTakesFewTransactions) {
  EXPECT_LE(Transactions([&] {
              for (uint32_t i = 0; i < kMessages; i++) {
                (void)store_->OpenBody(box_, UidOf(i)).ok();
              }
            }),
            kMessages / 32 + kMessages / 50);
}

TEST_F(PlaceWindowTest, SeesWhatChangesAtOnce) {
  for (uint32_t i = 0; i < 6; i++) {
    ExpectBody(*store_, i);
  }
  const Change change = Expunge(UidOf(8), UidOf(20));
  ASSERT_TRUE(store_->Apply(box_, {&change, 1}).ok());
  EXPECT_EQ(store_->OpenBody(box_, UidOf(8)).status().code(), Code::kNotFound);
  ExpectBody(*store_, 21);
}

TEST_F(PlaceWindowTest, AnotherProcessRewritesThePacks) {
  for (uint32_t i = 0; i < 10; i++) {
    ExpectBody(*store_, i);
  }
  const pid_t child = fork();
  if (child == 0) {
    auto store = MustOpen(OptionsFor(folder_ / "store"));
    std::vector<Change> changes;
    for (uint32_t i = 0; i < kMessages; i += 2) {
      changes.push_back(Expunge(UidOf(i), UidOf(i)));
    }
    bool ok = store->Apply(box_, changes).ok() && store->Apply(other_, changes).ok();
    for (Result<bool> more = true; ok && *more;) {
      more = store->Maintain(std::chrono::hours(1), true);
      ok = more.ok();
    }
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  for (uint32_t i = 10; i < kMessages; i++) {
    if (i % 2 == 1) {
      ExpectBody(*store_, i);
    } else {
      EXPECT_EQ(store_->OpenBody(BoxOf(i), UidOf(i)).status().code(), Code::kNotFound) << i;
    }
  }
}

// A place that is old and does not know it, as after the whole index was replaced.
TEST_F(PlaceWindowTest, AStalePlaceIsLookedUpAgain) {
  StoreImpl& store = StoreImpl::Of(*store_);
  for (uint32_t i = 0; i < 10; i++) {
    ExpectBody(*store_, i);
  }
  const PlaceWindow old = store.places;
  std::vector<Change> changes;
  for (uint32_t i = 0; i < kMessages; i += 2) {
    changes.push_back(Expunge(UidOf(i), UidOf(i)));
  }
  ASSERT_TRUE(store_->Apply(box_, changes).ok());
  for (Result<bool> more = true; *more;) {
    more = store_->Maintain(std::chrono::hours(1), true);
    ASSERT_TRUE(more.ok());
  }
  store.places = old;
  store.places.BelieveFrom(store);
  ExpectBody(*store_, 11);
}

TEST_F(PlaceWindowTest, WhatIsNotThere) {
  for (uint32_t uid = 1; uid < 100; uid++) {
    EXPECT_EQ(store_->OpenBody(box_, uid).ok(), uid % 3 == 1 && uid != UidOf(7)) << uid;
  }
  EXPECT_EQ(store_->OpenBody(MakeGuid(77777), 1).status().code(), Code::kNotFound);
  EXPECT_EQ(store_->OpenBody(box_, 1000000).status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace lbox

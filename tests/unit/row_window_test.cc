// Rows asked for one after the other: the same answers as from the store, in few transactions.
#include "storage/row_window.h"

#include <gtest/gtest.h>

#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;

class RowWindowTest : public ::testing::Test {
 protected:
  RowWindowTest() {
    store_ = MustOpen(OptionsFor(folder_ / "store"));
    box_ = MustCreate(*store_, 1);
    for (uint32_t i = 0; i < 1000; i++) {
      bodies_.push_back(std::move(Stage(*store_, "A: b\r\n\r\n" + std::string(i, 'x')).value()));
      NewMessage& message = messages_.emplace_back();
      message.staged = bodies_.back().get();
      message.guid = MakeGuid(i + 1);
      message.wanted_uid = 1 + i * 3;  // with gaps
      if (i % 7 == 0) {
        message.pop3_uidl = "uidl-" + std::to_string(i);
      }
    }
    EXPECT_TRUE(store_->Save(box_, 1, messages_, {}).ok());
  }

  void ExpectRow(uint32_t index) {
    const auto row = window_.Get(*store_, box_, messages_[index].uid);
    ASSERT_TRUE(row.ok()) << row.status().message();
    EXPECT_EQ((*row)->message.uid, messages_[index].uid);
    EXPECT_EQ((*row)->message.guid, messages_[index].guid);
    EXPECT_EQ((*row)->message.physical_size, 8 + index);
    EXPECT_EQ((*row)->extra.pop3_uidl, messages_[index].pop3_uidl);
  }

  TempFolder folder_;
  std::shared_ptr<Store> store_;
  Guid box_;
  std::vector<std::unique_ptr<StagedBody>> bodies_;
  std::vector<NewMessage> messages_;
  RowWindow window_;
};

TEST_F(RowWindowTest, InOrderBackwardsAndAnyhow) {
  for (uint32_t i = 0; i < 1000; i++) {
    ExpectRow(i);
  }
  for (uint32_t i = 1000; i-- > 0;) {
    ExpectRow(i);
  }
  for (uint32_t i = 0; i < 1000; i++) {
    ExpectRow(i * 367 % 1000);
  }
}

TEST_F(RowWindowTest, WhatIsNotThere) {
  for (uint32_t uid = 1; uid < 100; uid++) {
    const auto row = window_.Get(*store_, box_, uid);
    EXPECT_EQ(row.ok(), uid % 3 == 1) << uid;
    if (!row.ok()) {
      EXPECT_EQ(row.status().code(), Code::kNotFound);
    }
  }
  EXPECT_EQ(window_.Get(*store_, MakeGuid(77777), 1000000).status().code(), Code::kNotFound);
}

TEST_F(RowWindowTest, ReadsAheadUntilCleared) {
  for (uint32_t i = 0; i < 10; i++) {
    ExpectRow(i);
  }
  const Change change = Expunge(messages_[10].uid, messages_[999].uid);
  ASSERT_TRUE(store_->Apply(box_, {&change, 1}).ok());
  ExpectRow(10);  // was read with those before it
  window_.Clear();
  EXPECT_EQ(window_.Get(*store_, box_, messages_[10].uid).status().code(), Code::kNotFound);
  ExpectRow(9);
}

}  // namespace
}  // namespace lbox

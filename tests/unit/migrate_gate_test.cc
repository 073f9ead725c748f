#include "plugin/migrate-gate.h"

#include <gtest/gtest.h>

namespace lbox::migrate {
namespace {

constexpr int64_t kNow = 1'800'000'000;

Gate Of(Gate::State state, int64_t until) {
  Gate gate;
  gate.state = state;
  gate.until = until;
  gate.token = "0123456789abcdef";
  gate.driver = "lbox";
  return gate;
}

TEST(MigrateGate, IsReadAsWritten) {
  for (const auto state : {Gate::State::kCopying, Gate::State::kClosed, Gate::State::kMoved}) {
    Gate gate = Of(state, kNow);
    for (const char* driver : {"", "maildir"}) {
      gate.driver = driver;
      const std::string text = gate.Encode();
      EXPECT_EQ(text.size(), kGateSize);
      const auto read = Gate::Decode(text);
      ASSERT_TRUE(read);
      EXPECT_EQ(read->state, state);
      EXPECT_EQ(read->until, kNow);
      EXPECT_EQ(read->token, gate.token);
      EXPECT_EQ(read->driver, driver);
    }
  }
}

TEST(MigrateGate, AnythingElseIsNone) {
  const std::string good = Of(Gate::State::kClosed, kNow).Encode();
  for (const std::string& text :
       {std::string(), good.substr(1), good + " ", std::string(kGateSize, ' '),
        std::string(kGateSize - 1, 'x') + "\n", "X" + good.substr(1),
        std::string(good).replace(15, 6, "ajar  "), std::string(good).replace(22, 2, "x0")}) {
    EXPECT_FALSE(Gate::Decode(text)) << text;
  }
}

TEST(MigrateGate, Answers) {
  const struct {
    Gate::State state;
    int64_t until;
    const char* driver;
    Gate::Answer answer;
  } cases[] = {
      {Gate::State::kCopying, 0, "maildir", Gate::Answer::kEnterLocked},
      {Gate::State::kClosed, kNow + 1, "maildir", Gate::Answer::kRefuse},
      {Gate::State::kClosed, kNow + kMaxClosedSeconds, "lbox", Gate::Answer::kRefuse},
      // A clock that was changed keeps nobody out for good.
      {Gate::State::kClosed, kNow + kMaxClosedSeconds + 1, "lbox", Gate::Answer::kEnterLocked},
      {Gate::State::kClosed, kNow, "maildir", Gate::Answer::kEnterLocked},
      {Gate::State::kMoved, kNow + 1, "maildir", Gate::Answer::kRefuse},
      {Gate::State::kMoved, kNow + 1, "lbox", Gate::Answer::kEnter},
      {Gate::State::kMoved, kNow, "maildir", Gate::Answer::kEnter},
      {Gate::State::kMoved, kNow + kMovedSeconds + 1, "maildir", Gate::Answer::kEnter},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Of(test.state, test.until).Ask(test.driver, kNow), test.answer)
        << static_cast<int>(test.state) << " " << test.until - kNow << " " << test.driver;
  }
}

}  // namespace
}  // namespace lbox::migrate

#include "quota/protocol_text.h"

#include <array>

#include <gtest/gtest.h>

namespace hosting {
namespace {

constexpr std::array<std::string_view, 2> kNames = {"package", "user"};

TEST(ProtocolText, Templates) {
  const struct {
    std::string text, wrong;
    size_t at;
  } cases[] = {
      {"Package {package}", "", 0},
      {"100 % } of it", "", 0},
      {"", "expected a text of", 0},
      {std::string(401, 'x'), "expected a text of", 0},
      {"no\r\n* BYE", "expected printable ASCII", 2},
      {std::string("a\0b", 3), "expected printable ASCII", 1},
      {"caf\xc3\xa9", "expected printable ASCII", 3},
      {"tab\there", "expected printable ASCII", 3},
      {"[ALERT] no", "expected a text that does not begin", 0},
      {"of {packet}", "expected one of {package} {user}", 3},
      {"of {package", "expected one of", 3},
      {"of {}", "expected one of", 3},
  };
  for (const auto& c : cases) {
    size_t at = 99;
    const std::string wrong = CheckTemplate(c.text, kNames, &at);
    EXPECT_EQ(wrong.substr(0, c.wrong.size()), c.wrong) << c.text;
    EXPECT_EQ(wrong.empty(), c.wrong.empty()) << c.text;
    if (!wrong.empty()) {
      EXPECT_EQ(at, c.at) << c.text;
    }
  }
}

std::string Fill(std::string_view text, std::string_view package) {
  const std::pair<std::string_view, std::string_view> values[] = {{"package", package},
                                                                  {"user", "ann@example.com"}};
  return FillTemplate(text, values);
}

TEST(ProtocolText, Values) {
  EXPECT_EQ(Fill("{user} has {package}.", "gold"), "ann@example.com has gold.");
  EXPECT_EQ(Fill("{package}{package}", "{user}"), "{user}{user}");
  EXPECT_EQ(Fill("{nothing}.", "x"), ".");
  EXPECT_EQ(Fill("a } { b", "x"), "a } { b");
}

TEST(ProtocolText, HostileValuesStayOneLineOfText) {
  EXPECT_EQ(Fill("No: {package}", "x\r\n* BYE [ALERT] y"), "No: x* BYE [ALERT] y");
  EXPECT_EQ(Fill("{package}", "[ALERT] now\t\x7f\x1b[2J"), "(ALERT] now[2J");
  EXPECT_EQ(Fill("{package}", "caf\xc3\xa9 \xe2\x82\xac"), "caf? ?");
  EXPECT_EQ(Fill("{package}", std::string_view("a\0b", 3)), "ab");
  EXPECT_EQ(Fill("{package}", "\xff\xfe\x80"), "??");
  const std::string longest = Fill("{package}", std::string(1000, 'x'));
  EXPECT_EQ(longest.size(), kMaxProtocolText);
  EXPECT_EQ(longest.substr(kMaxProtocolText - 4), "x...");
  EXPECT_EQ(Fill("{package}", std::string(200, 'x')), std::string(200, 'x'));
  for (int c = 0; c < 256; ++c) {
    for (const char shown : Fill("{package}", std::string(3, static_cast<char>(c)))) {
      EXPECT_TRUE(shown >= ' ' && shown <= '~') << c;
    }
  }
}

}  // namespace
}  // namespace hosting

// Names that would leave their cell, or do something in it.
#include "quota/cell_text.h"

#include <random>

#include <gtest/gtest.h>

namespace hosting {
namespace {

TEST(CellText, LeavesWhatCanBeShown) {
  for (const char* text : {"", "example.com", "Jürgen \"J\" <j@x>", "中文 ✓ 😀", "a'b,c;d"}) {
    EXPECT_EQ(CellText(text), text);
  }
}

TEST(CellText, TakesAwayWhatDoesSomething) {
  EXPECT_EQ(CellText("a\r\nb\tc\x1b[31m\x7f"), "a??b?c?[31m?");
  EXPECT_EQ(CellText("\xc2\x9b"
                     "31m"),
            "?31m");                                         // CSI in one character
  EXPECT_EQ(CellText("a\xe2\x80\xaegnp.exe"), "a?gnp.exe");  // right-to-left override
  EXPECT_EQ(CellText("a\xe2\x81\xa6"
                     "b\xe2\x80\x8f"
                     "c\xd8\x9c"),
            "a?b?c?");
  EXPECT_EQ(CellText("\xef\xbb\xbf"
                     "a\xe2\x80\xa8"),
            "?a?");
  EXPECT_EQ(CellText(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(CellText("\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"), std::string(10, '?'));
  EXPECT_EQ(CellText("x\xe2\x82"), "x??");
  EXPECT_EQ(CellText(std::string(10000, '\n')), std::string(10000, '?'));
}

TEST(CellText, OfAnyBytesIsClean) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint32_t i = random() % 12; i > 0; --i) {
      text += static_cast<char>(random() % 3 == 0 ? random() : 0xe2 - random() % 100);
    }
    const std::string clean = CellText(text);
    ASSERT_EQ(CellText(clean), clean);
    for (const char c : clean) {
      ASSERT_TRUE(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
    }
  }
}

TEST(CsvCell, IsTextForASpreadsheet) {
  EXPECT_EQ(CsvCell("example.com"), "\"example.com\"");
  EXPECT_EQ(CsvCell("a \"b\", c"), "\"a \"\"b\"\", c\"");
  for (const char* text : {"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"}) {
    EXPECT_EQ(CsvCell(text), "\"'" + std::string(text) + "\"");
  }
  EXPECT_EQ(CsvCell(""), "\"\"");
}

}  // namespace
}  // namespace hosting

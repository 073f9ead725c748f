// Growth warnings as texts and as mail: what is said, and that no name can say anything of its own.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quota/growth_mail.h"
#include "quota/growth_text.h"
#include "quota/policy_text.h"
#include "quota/protocol_text.h"
#include "quota/shown_name.h"

namespace hosting {
namespace {

constexpr uint64_t kGiB = 1ULL << 30;

GrowthWarning Filling() {
  GrowthWarning warning;
  warning.account = "example.com";
  warning.package = "gold";
  warning.number = 7;
  warning.rule = GrowthRule::kPercent;
  warning.threshold = 90;
  warning.level = GrowthLevel::kWarning;
  warning.at = 1795392000;
  warning.mail = 7 * kGiB;
  warning.web = 2 * kGiB;
  warning.limit = 10 * kGiB;
  warning.percent = 90;
  warning.growth_a_day = 64 << 20;
  warning.full_on = CalendarDay{2026, 12, 9};
  warning.days_to_full = 16;
  warning.overage = kGiB;
  warning.price = *Money::Parse("20.00");
  warning.currency = "ZAR";
  warning.kept_percent = 93;
  return warning;
}

GrowthReader Ann() {
  GrowthReader reader;
  reader.user = "ann@example.com";
  reader.language = "en";
  reader.pop3_host = "pop.example.com";
  reader.upgrade_url = "https://my.example.com/?a=1&b=2";
  reader.largest = {{"INBOX", 300}, {"Sent", 5 * kGiB}, {"Trash", 20 << 20}};
  return reader;
}

TEST(GrowthText, SaysWhatIsTheCase) {
  const GrowthText text = WriteGrowthText(Filling(), Ann());
  EXPECT_EQ(text.subject, "example.com uses 90% of its space");
  EXPECT_EQ(text.text,
            "example.com uses 9.0 GB of 10.0 GB (90%) in the package gold: mail 7.0 GB,\n"
            "web 2.0 GB, other 0 bytes.\n"
            "It has been growing by 64.0 MB a day.\n"
            "At this rate it will be full on 2026-12-09 (days left: 16).\n"
            "Of the mail of the last four weeks, 93% is still on the server.\n"
            "This month is expected to end 1.0 GB above the limit, which will cost 20.00\n"
            "ZAR.\n"
            "\n"
            "The largest folders of ann@example.com:\n"
            "      5.0 GB  Sent\n"
            "     20.0 MB  Trash\n"
            "   300 bytes  INBOX\n"
            "\n"
            "What you can do:\n"
            "- Delete what you no longer need, and empty the trash: mail counts until\n"
            "  then.\n"
            "- Fetch mail by POP3 (pop.example.com, port 995), and have your program\n"
            "  delete it from the server.\n"
            "- Take a larger package: https://my.example.com/?a=1&b=2\n"
            "\n"
            "A program has written this message. Nobody reads answers to it.\n");
  EXPECT_NE(text.html.find("<a href=\"https://my.example.com/?a=1&amp;b=2\">"), std::string::npos);
  EXPECT_EQ(WriteGrowthAlert(Filling(), Ann()),
            "example.com uses 9.0 GB (90% of 10.0 GB). At this rate it is full on 2026-12-09. "
            "Expected cost this month: 20.00 ZAR. Delete mail or use POP3. Upgrade: "
            "https://my.example.com/?a=1&b=2");
}

TEST(GrowthText, LeavesOutWhatIsNotKnown) {
  GrowthWarning warning = Filling();
  warning.full_on.reset();
  warning.overage = 0;
  warning.kept_percent.reset();
  warning.growth_a_day = -5;
  GrowthReader reader;
  const GrowthText text = WriteGrowthText(warning, reader);
  for (const char* const absent :
       {"full on", "cost", "four weeks", "growing", "POP3", "larger", "{"}) {
    EXPECT_EQ(text.text.find(absent), std::string::npos) << absent << "\n" << text.text;
  }
  EXPECT_EQ(WriteGrowthAlert(warning, reader),
            "example.com uses 9.0 GB (90% of 10.0 GB). Delete mail or use POP3.");
  warning.limit = 0;
  warning.rule = GrowthRule::kWeeklyGrowth;
  warning.threshold = 25;
  EXPECT_EQ(WriteGrowthText(warning, reader).subject,
            "example.com is growing by more than 25% a week");
  EXPECT_EQ(WriteGrowthAlert(warning, reader),
            "example.com is growing by more than 25% a week. Delete mail or use POP3.");
}

TEST(GrowthText, Full) {
  GrowthWarning warning = Filling();
  warning.level = GrowthLevel::kFull;
  warning.days_to_full = 0;
  const GrowthText text = WriteGrowthText(warning, Ann());
  EXPECT_EQ(text.subject, "example.com: no space is left");
  EXPECT_NE(text.text.find("The limit is reached.\n"), std::string::npos);
  EXPECT_EQ(text.text.find("At this rate"), std::string::npos);
}

TEST(GrowthText, Languages) {
  GrowthReader reader = Ann();
  reader.language = "de-AT";
  EXPECT_EQ(WriteGrowthText(Filling(), reader).subject,
            "example.com belegt 90 % des Speicherplatzes");
  GrowthTexts own;
  own.language = "de-AT";
  own.phrases[kSubjectPercent] = "{account}: <{percent}>";
  reader.texts = {own};
  EXPECT_EQ(WriteGrowthText(Filling(), reader).subject, "example.com: <90>");
  EXPECT_NE(WriteGrowthText(Filling(), reader).text.find("Täglich kommen"), std::string::npos);
}

// Each rule's own subject.
TEST(GrowthText, Subjects) {
  GrowthWarning warning = Filling();
  warning.rule = GrowthRule::kDaysToFull;
  EXPECT_EQ(WriteGrowthText(warning, Ann()).subject, "example.com will be full on 2026-12-09");
  warning.rule = GrowthRule::kOveragePrice;
  EXPECT_EQ(WriteGrowthText(warning, Ann()).subject,
            "example.com: additional space will cost 20.00 ZAR this month");
}

TEST(ShownName, IsHarmless) {
  const struct {
    std::string name, shown;
  } cases[] = {
      {"INBOX", "INBOX"},
      {"a\r\nBcc: x", "a Bcc: x"},
      {"\xe2\x80\xae"
       "gpj.exe",
       "gpj.exe"},
      {"\xe2\x81\xa6"
       "a\xe2\x81\xa9\xd8\x9c\xe2\x80\x8f",
       "a"},
      {"\xe2\x80\xa8"
       "x\xe2\x80\xa9y",
       "x y"},
      {"Gr\xc3\xbc\xc3\x9f", "Gr\xc3\xbc\xc3\x9f"},
      {"\xff\xfe", "??"},
      {std::string("a\0b", 3), "ab"},
      {"\x1b[31m", "[31m"},
      {"  a   b  ", "a b"},
      {"\xf3\xa0\x81\xa1x", "x"},
      {std::string(64, 'x'), std::string(64, 'x')},
      {std::string(65, 'x'), std::string(61, 'x') + "..."},
      {std::string(10240, 'x'), std::string(61, 'x') + "..."},
      {"", ""},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ShownName(each.name), each.shown);
  }
}

TEST(ShownName, Sizes) {
  const struct {
    uint64_t bytes;
    const char* shown;
  } cases[] = {{0, "0 bytes"},      {1023, "1023 bytes"},   {1024, "1.0 kB"},
               {1536, "1.5 kB"},    {102400, "100 kB"},     {1048575, "1023 kB"},
               {1 << 20, "1.0 MB"}, {10 * kGiB, "10.0 GB"}, {kGiB * 1024, "1.0 TB"},
               {~0ULL, "16383 PB"}};
  for (const auto& each : cases) {
    EXPECT_EQ(ShownSize(each.bytes), each.shown);
  }
}

// Hostile names ---------------------------------------------------------------------------------

class Names {
 public:
  std::string Next() {
    std::string name;
    for (uint64_t i = random_() % 6; i > 0; --i) {
      name += kParts[random_() % std::size(kParts)];
    }
    if (random_() % 16 == 0) {
      name += std::string(10240, static_cast<char>(random_()));
    }
    for (uint64_t i = random_() % 3; i > 0 && !name.empty(); --i) {
      name[random_() % name.size()] = static_cast<char>(random_());
    }
    return name;
  }

 private:
  static constexpr std::string_view kParts[] = {"\r\n",
                                                "\nBcc: evil@example.org\n",
                                                "\r\n.\r\n",
                                                "<script>alert(1)</script>",
                                                "\"'><img",
                                                "\xe2\x80\xae",
                                                "\xe2\x81\xa7",
                                                "\xe2\x80\xa8",
                                                "=?utf-8?Q?=0D=0A?=",
                                                "{limit}{upgrade_url}",
                                                "[ALERT]",
                                                "* BYE ",
                                                "\xc2\x85",
                                                "\xff",
                                                "From ",
                                                "&lt;",
                                                "]]>",
                                                "\t",
                                                "%s%n",
                                                "$(reboot)",
                                                "\\",
                                                "\xd7\x90\xd7\x91",
                                                "a",
                                                " ",
                                                "--=_0",
                                                "=",
                                                "\xf0\x9f\x92\xa9"};
  std::mt19937_64 random_{20261123};
};

bool IsOneLineOfAscii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// What a browser would take for tags, "<" included.
std::vector<std::string> Tags(const std::string& html) {
  std::vector<std::string> tags;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    tags.push_back(html.substr(at, html.find('>', at) - at + 1));
  }
  return tags;
}

bool IsTagOfOurs(const std::string& tag) {
  for (const char* const known : {"<!DOCTYPE html>",
                                  "<html lang=\"",
                                  "<head>",
                                  "</head>",
                                  "<meta charset=\"utf-8\">",
                                  "<title>",
                                  "</title>",
                                  "<body>",
                                  "</body>",
                                  "</html>",
                                  "<p>",
                                  "</p>",
                                  "<ul>",
                                  "</ul>",
                                  "<li>",
                                  "</li>",
                                  "<table>",
                                  "</table>",
                                  "<tr>",
                                  "</tr>",
                                  "<td>",
                                  "</td>",
                                  "<td style=\"text-align:right\">",
                                  "<bdi>",
                                  "</bdi>",
                                  "<small>",
                                  "</small>",
                                  "<a href=\"https://my.example.com/",
                                  "</a>"}) {
    if (tag.starts_with(known)) {
      return true;
    }
  }
  return false;
}

// None of UAX #9's controls.
bool HasBidiControl(const std::string& text) {
  for (const char* const control :
       {"\xd8\x9c", "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac",
        "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8",
        "\xe2\x81\xa9"}) {
    if (text.find(control) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST(GrowthText, HostileNamesSayNothingOfTheirOwn) {
  Names names;
  for (int round = 0; round < 2000; ++round) {
    GrowthWarning warning = Filling();
    warning.account = names.Next();
    warning.package = names.Next();
    warning.currency = names.Next();
    GrowthReader reader = Ann();
    reader.user = names.Next();
    reader.language = names.Next();
    reader.largest = {{names.Next(), 3}, {names.Next(), 2}, {names.Next(), 1}};
    const GrowthText text = WriteGrowthText(warning, reader);

    ASSERT_TRUE(IsPrintable(text.subject)) << text.subject;
    std::string lines = text.text;
    std::replace(lines.begin(), lines.end(), '\n', ' ');
    ASSERT_TRUE(IsPrintable(lines));
    ASSERT_LE(std::count(text.text.begin(), text.text.end(), '\n'), 40);
    ASSERT_FALSE(HasBidiControl(text.subject + text.text + text.html));
    for (const std::string& tag : Tags(text.html)) {
      ASSERT_TRUE(IsTagOfOurs(tag)) << tag << "\n" << text.html;
    }
    ASSERT_LT(text.html.size(), 12000U);

    const std::string alert = WriteGrowthAlert(warning, reader);
    ASSERT_TRUE(IsOneLineOfAscii(alert)) << alert;
    ASSERT_NE(alert.front(), '[');
    ASSERT_LE(alert.size(), kMaxProtocolText);
    ASSERT_TRUE(IsOneLineOfAscii(WriteGrowthLog(warning)));
    for (const auto& [name, value] : GrowthFields(warning)) {
      ASSERT_TRUE(IsOneLineOfAscii(value)) << name;
    }
  }
}

// The control: without ShownName a name gets through.
TEST(GrowthText, TheChecksBite) {
  EXPECT_FALSE(IsPrintable("a\r\nb"));
  EXPECT_TRUE(HasBidiControl("\xe2\x80\xae"));
  EXPECT_FALSE(IsTagOfOurs(Tags("<p><script>")[1]));
  EXPECT_FALSE(IsOneLineOfAscii("a\nb"));
}

}  // namespace
}  // namespace hosting

// docs/packages.md beside the code: every key is there, and its examples are policies.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quota/policy_file.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

// From a heading's line to the next one.
std::string Section(const std::string& text, const std::string& heading) {
  const size_t begin = text.find("\n" + heading + "\n");
  if (begin == std::string::npos) {
    return "";
  }
  const size_t end = text.find("\n#", begin + 1);
  return text.substr(begin, end == std::string::npos ? end : end - begin);
}

// The names in backquotes of the first column of a section's table.
std::vector<std::string> FirstColumn(const std::string& section) {
  std::vector<std::string> names;
  for (size_t row = section.find("\n| `"); row != std::string::npos;
       row = section.find("\n| `", row + 1)) {
    const std::string cell = section.substr(row + 2, section.find(" |", row + 3) - row - 2);
    for (size_t at = cell.find('`'); at != std::string::npos; at = cell.find('`', at + 1)) {
      const size_t end = cell.find('`', at + 1);
      names.push_back(cell.substr(at + 1, end - at - 1));
      at = end;
    }
  }
  return names;
}

TEST(PolicyDocs, HasEveryKeyAndNoOther) {
  const std::string text = ReadFile(LBOX_SOURCE_DIR "/docs/packages.md");
  ASSERT_FALSE(text.empty());
  const struct {
    const char *table, *heading;
  } tables[] = {
      {"service", "## `[service]`"},
      {"package", "## `[package.NAME]`"},
      {"overage", "### `overage`"},
      {"pop3_retention", "### `pop3_retention`"},
      {"pop3_dele", "### `pop3_dele`"},
      {"account", "## `[account.\"NAME\"]`"},
      {"external", "### `external.NAME`"},
      {"user", "### `[account.\"NAME\".user.\"USER\"]`"},
      {"protocols", "## `[protocols]`"},
      {"text", "### `[protocols.text.LANGUAGE]`"},
      {"access", "### Access that begins later"},
      {"warnings", "## `[warnings]`"},
      {"warnings.text", "### `[warnings.text.LANGUAGE]`"},
  };
  for (const auto& table : tables) {
    std::vector<std::string> documented = FirstColumn(Section(text, table.heading));
    std::vector<std::string> known;
    for (const std::string_view key : PolicyKeys(table.table)) {
      known.emplace_back(key);
    }
    std::sort(documented.begin(), documented.end());
    std::sort(known.begin(), known.end());
    EXPECT_EQ(documented, known) << table.table;
  }
}

TEST(PolicyDocs, ExamplesArePolicies) {
  constexpr std::string_view kBegin = "```toml\n", kEnd = "```\n";
  const std::string text =
      ReadFile(LBOX_SOURCE_DIR "/docs/packages.md") + ReadFile(LBOX_SOURCE_DIR "/docs/policy.md");
  int examples = 0;
  for (size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at + 1)) {
    const size_t begin = at + kBegin.size();
    const std::string example = text.substr(begin, text.find(kEnd, begin) - begin);
    for (const Problem& problem : ParsePolicy(example, TestNames()).problems) {
      ADD_FAILURE() << FormatProblem("example", problem) << "\n" << example;
    }
    ++examples;
  }
  EXPECT_GT(examples, 0);
}

// What the tables give as defaults.
TEST(PolicyDocs, Defaults) {
  const Policy policy =
      ParsePolicy("[package.p]\n[account.a]\npackage = \"p\"\n", TestNames()).policy;
  const Package& package = policy.packages.at(0);
  EXPECT_EQ(package.limit + package.mailbox_limit + package.message_limit + package.grace, 0U);
  EXPECT_EQ(package.over_limit, OverLimit::kRefuse);
  EXPECT_EQ(package.web_interval, 3600U);
  EXPECT_TRUE(package.enforce);
  EXPECT_EQ(package.warn_percent, (std::vector<uint32_t>{80, 90, 100}));
  EXPECT_EQ(package.warn_days + package.warn_weekly_percent, 0U);
  EXPECT_FALSE(package.warn_overage);
  EXPECT_EQ(policy.accounts.at(0).time_zone, "UTC");
  const ServiceOptions& service = policy.service;
  EXPECT_EQ(service.mail_connections, 4000U);
  EXPECT_EQ(service.other_connections, 64U);
  EXPECT_TRUE(service.enforce);
  EXPECT_FALSE(service.unavailable_tempfail);
  EXPECT_FALSE(service.over_limit_tempfail);
  EXPECT_EQ(service.mail_stale_after, 900U);
  EXPECT_EQ(service.recount_interval, 86400U);
}

}  // namespace
}  // namespace hosting

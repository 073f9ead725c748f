// Another package for an account: in the policy's text, and what it means.
#include "quota/policy_edit.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "quota/package_change.h"
#include "tests/quota/policy_support.h"
#include "tests/quota/temp_folder.h"

namespace hosting {
namespace {

constexpr std::string_view kPackages =
    "[package.gold]\nlimit = \"10G\"\n[package.\"pop \\\"s\\\"\"]\nlimit = \"1G\"\nimap = "
    "\"deny\"\n"
    "mailbox_limit = \"500M\"\npop3_retention = { days = 14 }\n";

std::string With(std::string_view account) {
  return std::string(kPackages) + std::string(account);
}

TEST(PolicyEdit, ChangesTheValueAndNothingElse) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"# of a\n[account.a] # x\npackage = \"gold\" # \"gold\"\n",
       "# of a\n[account.a] # x\npackage = \"pop \\\"s\\\"\" # \"gold\"\n"},
      {"[account.a]\npackage='gold'\n", "[account.a]\npackage=\"pop \\\"s\\\"\"\n"},
      {"[account]\na = { package = \"gold\", users = [\"u\"] }\n",
       "[account]\na = { package = \"pop \\\"s\\\"\", users = [\"u\"] }\n"},
      {"[account.a]\n\"package\" = \"g\\u006fld\"", "[account.a]\n\"package\" = \"pop \\\"s\\\"\""},
      {"[account.b]\npackage = \"gold\"\n[account.a]\nusers = [\"gold\"]\npackage = \"gold\"\n",
       "[account.b]\npackage = \"gold\"\n[account.a]\nusers = [\"gold\"]\npackage = \"pop "
       "\\\"s\\\"\"\n"},
  };
  for (const auto& [before, after] : cases) {
    const auto changed = WithPackage(With(before), "a", "pop \"s\"", TestNames());
    ASSERT_TRUE(changed.ok()) << changed.status().message() << before;
    EXPECT_EQ(*changed, With(after));
    EXPECT_EQ(*WithPackage(*changed, "a", "pop \"s\"", TestNames()), *changed) << "has it already";
    EXPECT_EQ(
        WithPackage(*changed, "a", "gold", TestNames())->find("pop \\\"s\\\"", kPackages.size()),
        std::string::npos);
  }
}

TEST(PolicyEdit, Refuses) {
  const std::string text = With("[account.a]\npackage = \"gold\"\n");
  EXPECT_EQ(WithPackage(text, "b", "gold", TestNames()).status().code(), Code::kNotFound);
  EXPECT_EQ(WithPackage(text, "a", "silver", TestNames()).status().code(), Code::kNotFound);
  EXPECT_EQ(WithPackage(text + "x = 1\n", "a", "pop \"s\"", TestNames()).status().code(),
            Code::kInvalid);
}

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(PolicyEdit, ReplacesAFileThroughALink) {
  TempFolder folder;
  const std::string path = folder.file("real"), link = folder.file("link");
  std::ofstream(path) << "old";
  chmod(path.c_str(), 0640);
  ASSERT_EQ(symlink("real", link.c_str()), 0);
  ASSERT_TRUE(ReplaceFile(link, "new").ok());
  EXPECT_EQ(Read(path), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
  EXPECT_FALSE(ReplaceFile(folder.file("none"), "x").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

TEST(PackageChange, DowngradeAndBack) {
  const std::string text = With("[account.a]\npackage = \"gold\"\nusers = [\"ann\", \"bob\"]\n");
  const Policy gold = ParsePolicy(text, TestNames()).policy;
  const Policy pop =
      ParsePolicy(*WithPackage(text, "a", "pop \"s\"", TestNames()), TestNames()).policy;
  const std::vector<StoredMail> mail = {{"ann", 700 << 20}, {"bob", 1 << 20}};
  const auto down =
      PackageChanges(PolicyIndex(gold), PolicyIndex(pop), "a", uint64_t{1200} << 20, mail);
  const auto find = [](const std::vector<PackageChange>& list, const char* user, const char* what) {
    for (const PackageChange& change : list) {
      if (change.user == user && change.what == what) {
        return change;
      }
    }
    return PackageChange{};
  };
  EXPECT_EQ(find(down, "", "limit").after, "1G");
  EXPECT_NE(find(down, "", "limit").note.find("over by 176M"), std::string::npos);
  EXPECT_NE(find(down, "ann", "mailbox_limit").note.find("over by 200M"), std::string::npos);
  EXPECT_NE(find(down, "bob", "mailbox_limit").note.find("fits"), std::string::npos);
  EXPECT_EQ(find(down, "ann", "imap").after, "deny");
  EXPECT_EQ(find(down, "ann", "retention").after, "14 days after delivery");
  EXPECT_NE(find(down, "ann", "folders").note.find("merge-folders ann"), std::string::npos);
  EXPECT_EQ(find(down, "ann", "Sent").after, "in the customer's program");
  EXPECT_EQ(find(down, "ann", "pop3").what, "") << "did not change";
  const auto up = PackageChanges(PolicyIndex(pop), PolicyIndex(gold), "a", 0, mail);
  EXPECT_EQ(find(up, "bob", "folders").after, "IMAP");
  EXPECT_EQ(find(up, "bob", "retention").after, "none");
  EXPECT_TRUE(PackageChanges(PolicyIndex(gold), PolicyIndex(gold), "a", 0, mail).empty());
}

}  // namespace
}  // namespace hosting

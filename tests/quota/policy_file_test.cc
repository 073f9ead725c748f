#include "quota/policy_file.h"

#include <gtest/gtest.h>

#include "quota/policy_reader.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

constexpr uint64_t kG = 1ULL << 30;

ParsedPolicy Parse(const std::string& text) {
  return ParsePolicy(text, TestNames());
}

std::string Lines(const std::vector<Problem>& problems) {
  std::string lines;
  for (const Problem& problem : problems) {
    lines += FormatProblem("f", problem) + "\n";
  }
  return lines;
}

Policy Good(const std::string& text) {
  ParsedPolicy parsed = Parse(text);
  EXPECT_EQ(Lines(parsed.problems), "");
  return parsed.policy;
}

// As the documentation has it: these names are a contract.
constexpr const char* kExample = R"(
[package.gold]
limit         = "10G"                 # mail + web + external sources of the account
mailbox_limit = "2G"                  # each mailbox
over_limit    = "bill"                # refuse | bill | report
hard_limit    = "12G"                 # with bill
overage       = { price = "20.00", currency = "ZAR", per = "1G", basis = "peak" }
imap          = "allow"               # allow | warn | deny
warn_percent  = [80, 90, 100]
[package.pop-s]
limit          = "1G"
imap           = "deny"
pop3_retention = { days = 14, from = "delivery" }
[account."example.com"]
package   = "gold"
domains   = ["example.com"]
web_roots = ["/srv/www/example.com"]
external  = { databases = { stale_after = "2 days" } }
time_zone = "Africa/Johannesburg"      # months and days of this account; G = 2^30
[account."example.com".user."error_log@example.com"]
imap = "deny"
)";

TEST(PolicyFile, ReadsTheExample) {
  const Policy policy = Good(kExample);
  ASSERT_EQ(policy.packages.size(), 2U);
  const Package& gold = policy.packages[0];
  EXPECT_EQ(gold.name, "gold");
  EXPECT_EQ(gold.line, 2U);
  EXPECT_EQ(gold.limit, 10 * kG);
  EXPECT_EQ(gold.lines[kKeyLimit], 3U);
  EXPECT_EQ(gold.mailbox_limit, 2 * kG);
  EXPECT_EQ(gold.over_limit, OverLimit::kBill);
  EXPECT_EQ(gold.hard_limit, 12 * kG);
  ASSERT_TRUE(gold.overage.has_value());
  EXPECT_EQ(gold.overage->price.Format(), "20.00");
  EXPECT_EQ(gold.overage->currency, "ZAR");
  EXPECT_EQ(gold.overage->per, kG);
  EXPECT_EQ(gold.overage->basis, Basis::kPeak);
  EXPECT_EQ(gold.overage->rounding, Rounding::kUp);
  EXPECT_EQ(gold.access[kImap].access, Access::kAllow);
  EXPECT_EQ(gold.access[kImap].line, 8U);
  EXPECT_FALSE(gold.access[kPop3].access.has_value());
  EXPECT_EQ(gold.warn_percent, (std::vector<uint32_t>{80, 90, 100}));
  const Package& pop = policy.packages[1];
  EXPECT_EQ(pop.name, "pop-s");
  EXPECT_EQ(pop.grace, 0U);
  EXPECT_EQ(pop.over_limit, OverLimit::kRefuse);
  ASSERT_TRUE(pop.pop3_retention.has_value());
  EXPECT_EQ(pop.pop3_retention->days, 14U);
  EXPECT_FALSE(pop.pop3_retention->from_retrieval);
  ASSERT_EQ(policy.accounts.size(), 1U);
  const Account& account = policy.accounts[0];
  EXPECT_EQ(account.name, "example.com");
  EXPECT_EQ(account.package, "gold");
  EXPECT_EQ(account.domains, std::vector<std::string>{"example.com"});
  EXPECT_EQ(account.web_roots, std::vector<std::string>{"/srv/www/example.com"});
  ASSERT_EQ(account.external.size(), 1U);
  EXPECT_EQ(account.external[0].name, "databases");
  EXPECT_EQ(account.external[0].stale_after, 172800U);
  EXPECT_EQ(account.time_zone, "Africa/Johannesburg");
  ASSERT_EQ(account.user_rules.size(), 1U);
  EXPECT_EQ(account.user_rules[0].user, "error_log@example.com");
  EXPECT_EQ(account.user_rules[0].access[kImap].access, Access::kDeny);
  EXPECT_EQ(account.user_rules[0].line, 20U);
}

TEST(PolicyFile, ReadsEveryOtherKey) {
  const Policy policy = Good(R"(
[service]
mail_uids = [5000, "www-data"]
admin_uids = ["vmail"]
web_uids = [1]
recount_uids = []
mail_connections = 1000
other_connections = 8
enforce = false
unavailable = "tempfail"
over_limit_reply = 452
mail_stale_after = "5 min"
recount_interval = "never"
web_exclude = ["/var/vmail"]
[package."a b"]
message_limit = 1000
grace = "10M"
over_limit = "report"
limit = 4096
enforce = false
pop3 = "warn"
managesieve = "deny"
submission = "allow"
smtp = "deny"
pop3_retention = { days = 1, from = "retrieval" }
web_interval = "6 hours"
overage = { price = "1.5", currency = "EUR", per = "100M", basis = "average", rounding = "nearest" }
[package.free]
limit = "none"
[account.zoe]
package = "free"
users = ["zoe", "zoe@example.org"]
uid = "www-data"
limit = "none"
extra_space = "1G"
mailbox_limit = "none"
enforce = true
smtp = "warn"
web_exclude = ["/srv//zoe/backup/"]
user."zoe@example.org" = { mailbox_limit = "5M", pop3 = "allow" }
external.hosts = {}
[account.abe]
package = "a b"
uid = 1001
)");
  const ServiceOptions& service = policy.service;
  EXPECT_EQ(service.mail_uids, (std::vector<uint32_t>{5000, 33}));
  EXPECT_EQ(service.admin_uids, std::vector<uint32_t>{5000});
  EXPECT_EQ(service.web_uids, std::vector<uint32_t>{1});
  EXPECT_EQ(service.mail_connections, 1000U);
  EXPECT_EQ(service.other_connections, 8U);
  EXPECT_FALSE(service.enforce);
  EXPECT_EQ(service.enforce_line, 9U);
  EXPECT_TRUE(service.unavailable_tempfail);
  EXPECT_TRUE(service.over_limit_tempfail);
  EXPECT_EQ(service.mail_stale_after, 300U);
  EXPECT_EQ(service.recount_interval, 0U);
  EXPECT_EQ(service.web_exclude, std::vector<std::string>{"/var/vmail"});
  const Package& package = policy.packages[0];
  EXPECT_EQ(package.name, "a b");
  EXPECT_EQ(package.message_limit, 1000U);
  EXPECT_EQ(package.grace, 10U << 20);
  EXPECT_EQ(package.over_limit, OverLimit::kReport);
  EXPECT_EQ(package.limit, 4096U);
  EXPECT_FALSE(package.enforce);
  EXPECT_EQ(package.access[kPop3].access, Access::kWarn);
  EXPECT_EQ(package.access[kManageSieve].access, Access::kDeny);
  EXPECT_EQ(package.access[kSubmission].access, Access::kAllow);
  EXPECT_EQ(package.access[kSmtp].access, Access::kDeny);
  EXPECT_TRUE(package.pop3_retention->from_retrieval);
  EXPECT_EQ(package.web_interval, 21600U);
  EXPECT_EQ(package.overage->per, 100U << 20);
  EXPECT_EQ(package.overage->basis, Basis::kAverage);
  EXPECT_EQ(package.overage->rounding, Rounding::kNearest);
  EXPECT_EQ(policy.packages[1].limit, 0U);
  ASSERT_EQ(policy.accounts.size(), 2U);
  EXPECT_EQ(policy.accounts[0].name, "abe");  // in the order of names
  EXPECT_EQ(policy.accounts[0].uid, 1001U);
  EXPECT_EQ(policy.accounts[0].time_zone, "UTC");
  const Account& zoe = policy.accounts[1];
  EXPECT_EQ(zoe.users, (std::vector<std::string>{"zoe", "zoe@example.org"}));
  EXPECT_EQ(zoe.uid, 33U);
  EXPECT_EQ(zoe.limit, 0U);
  EXPECT_EQ(zoe.extra_space, kG);
  EXPECT_EQ(zoe.mailbox_limit, 0U);
  EXPECT_EQ(zoe.enforce, true);
  EXPECT_EQ(zoe.access[kSmtp].access, Access::kWarn);
  EXPECT_EQ(zoe.web_exclude, std::vector<std::string>{"/srv/zoe/backup"});
  EXPECT_EQ(zoe.user_rules[0].mailbox_limit, 5U << 20);
  EXPECT_EQ(zoe.external[0].name, "hosts");
  EXPECT_EQ(zoe.external[0].stale_after, 0U);
}

TEST(PolicyFile, AnEmptyFileIsAPolicy) {
  EXPECT_TRUE(Good("").packages.empty());
  EXPECT_TRUE(Good("# nothing yet\n\n").accounts.empty());
  EXPECT_TRUE(Good("[package.a]\n").packages[0].enforce);
}

// The text of each problem, in the order of the file.
struct Case {
  const char* text;
  const char* problems;
};
class PolicyProblems : public testing::TestWithParam<Case> {};

TEST_P(PolicyProblems, AreTold) {
  EXPECT_EQ(Lines(Parse(GetParam().text).problems), GetParam().problems) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Values, PolicyProblems,
    testing::Values(
        Case{
            "[package.p]\nlimit = \"10 GB\"\n",
            "f:2:9: expected a size in bytes, such as \"10G\", \"512M\" or \"100k\" (G = 2^30), or "
            "\"none\" for no limit in limit, found \"10 GB\"\n"},
        Case{
            "[package.p]\nlimit = 10G\n",
            "f:2:9: expected a size in bytes, such as \"10G\", \"512M\" or \"100k\" (G = 2^30), or "
            "\"none\" for no limit in limit, found \"10G\" without quotes\n"},
        Case{"[package.p]\nlimit = 0\n",
             "f:2:9: expected a size above 0, or \"none\" for no limit in limit, found 0\n"},
        Case{"[package.p]\ngrace = -1\n",
             "f:2:9: expected a size in bytes, such as \"10G\", \"512M\" or \"100k\" (G = 2^30) in "
             "grace, found -1\n"},
        Case{"[package.p]\nmessage_limit = 0\n",
             "f:2:17: expected a number above 0, or \"none\" for no limit in message_limit, found "
             "0\n"},
        Case{"[package.p]\nimap = \"no\"\n",
             "f:2:8: expected one of \"allow\", \"warn\", \"deny\" in imap, found \"no\"\n"},
        Case{"[package.p]\nenforce = \"yes\"\n",
             "f:2:11: expected true or false in enforce, found \"yes\"\n"},
        Case{"[package.p]\nwarn_percent = [80, 80, 201, \"x\"]\n",
             "f:2:21: expected a higher percentage than the one before, found 80\n"
             "f:2:25: expected a number from 1 to 200, found 201\n"
             "f:2:30: expected a number from 1 to 200, found \"x\"\n"},
        Case{"[package.p]\nwarn_days = 0\nwarn_weekly_percent = \"x\"\nwarn_overage = \"1\"\n",
             "f:2:13: expected a number from 1 to 365, or \"none\" in warn_days, found 0\n"
             "f:3:23: expected a number from 1 to 10000, or \"none\" in warn_weekly_percent, found "
             "\"x\"\n"
             "f:4:1: expected overage with warn_overage\n"},
        Case{"[package.p]\nweb_interval = \"30 sec\"\n",
             "f:2:16: expected a time of at least 1 min in web_interval, found \"30 sec\"\n"},
        Case{"[package.p]\nweb_interval = 3600\n",
             "f:2:16: expected a time with its unit, such as \"2 days\", \"90 min\" or \"1 hour\" "
             "in "
             "web_interval, found 3600\n"},
        Case{"[package.p]\npop3_retention = { days = 0, from = \"arrival\" }\n",
             "f:2:27: expected a number from 1 to 36500 in days, found 0\n"
             "f:2:37: expected one of \"delivery\", \"retrieval\" in from, found \"arrival\"\n"},
        Case{"[package.p]\npop3_retention = {}\n",
             "f:2:18: expected the key days in pop3_retention\n"},
        Case{"[package.p]\nover_limit = \"report\"\noverage = { price = 20, currency = \"Rand\", "
             "per = "
             "\"0\" }\n",
             "f:3:21: expected an amount such as \"20.00\": at most 12 digits, a point, at most 6 "
             "decimals in price, found 20\n"
             "f:3:36: expected three capital letters as in ISO 4217, such as \"EUR\" in currency, "
             "found \"Rand\"\n"
             "f:3:50: expected a size above 0 in per, found \"0\"\n"},
        Case{"[package.p]\nover_limit = \"report\"\noverage = { per = \"1G\" }\n",
             "f:3:11: expected the key price in overage\n"
             "f:3:11: expected the key currency in overage\n"},
        Case{
            "[service]\nmail_uids = 5000\nadmin_uids = [\"nobody-here\", -1, 1.5]\n",
            "f:2:13: expected an array of uids, such as [5000] or [\"vmail\"] in mail_uids, found "
            "5000\n"
            "f:3:15: expected a system user that there is, found \"nobody-here\"\n"
            "f:3:30: expected a uid (a number or the name of a system user), found -1\n"
            "f:3:34: expected a uid (a number or the name of a system user), found \"1.5\" without "
            "quotes\n"},
        Case{"[service]\nover_limit_reply = 550\nunavailable = \"refuse\"\n",
             "f:2:20: expected 552 or 452 in over_limit_reply, found 550\n"
             "f:3:15: expected one of \"accept\", \"tempfail\" in unavailable, found "
             "\"refuse\"\n"}));

INSTANTIATE_TEST_SUITE_P(
    Keys, PolicyProblems,
    testing::Values(
        Case{"[package.p]\nlimt = \"1G\"\n",
             "f:2:1: expected a known key, found \"limt\"; did you mean \"limit\"?\n"},
        Case{"[package.p]\nimpa = \"deny\"\n",
             "f:2:1: expected a known key, found \"impa\"; did you mean \"imap\"?\n"},
        Case{"[packages.p]\n",
             "f:1:2: expected a known key, found \"packages\"; did you mean \"package\"?\n"},
        Case{"[wholly-other]\n",
             "f:1:2: expected a known key, found \"wholly-other\"; there are service, package, "
             "account, protocols, warnings\n"},
        Case{"limit = \"1G\"\n",
             "f:1:1: expected a known key, found \"limit\"; there are service, package, account, "
             "protocols, warnings\n"},
        Case{"package = 1\naccount = []\n",
             "f:1:11: expected a table in package, found 1\n"
             "f:2:11: expected a table in account, found an array\n"},
        Case{"[package]\np = 1\n", "f:2:5: expected a table in p, found 1\n"},
        Case{"[package.\"\"]\n[package.\"a\\u0000b\"]\n[package.\" x\"]\n",
             "f:1:10: expected the name of a package: 1 to 255 bytes, no control characters, no "
             "blanks "
             "at its ends\n"
             "f:2:10: expected the name of a package: 1 to 255 bytes, no control characters, no "
             "blanks "
             "at its ends\n"
             "f:3:10: expected the name of a package: 1 to 255 bytes, no control characters, no "
             "blanks "
             "at its ends\n"}));

INSTANTIATE_TEST_SUITE_P(
    Packages, PolicyProblems,
    testing::Values(
        Case{"[package.p]\nlimit = \"10G\"\nhard_limit = \"12G\"\n",
             "f:3:1: expected hard_limit only with over_limit = \"bill\"\n"},
        Case{"[package.p]\nlimit = \"10G\"\nover_limit = \"bill\"\nhard_limit = \"9G\"\n",
             "f:4:14: expected a hard_limit that is not below limit\n"},
        Case{"[package.p]\nlimit = \"10G\"\nover_limit = \"bill\"\nhard_limit = \"10G\"\n", ""},
        Case{"[package.p]\nlimit = \"10G\"\nover_limit = \"bill\"\nhard_limit = \"none\"\n", ""},
        Case{"[package.p]\nlimit = \"10G\"\nover_limit = \"bill\"\n", ""},
        Case{"[package.p]\nover_limit = \"bill\"\n",
             "f:2:1: expected a limit with over_limit = \"bill\"\n"}));

INSTANTIATE_TEST_SUITE_P(
    Accounts, PolicyProblems,
    testing::Values(
        Case{"[account.a]\n", "f:1:10: expected the key package in account \"a\"\n"},
        Case{"[package.gold]\n[account.a]\npackage = \"glod\"\n",
             "f:3:11: expected a package of this file, found \"glod\"; did you mean \"gold\"?\n"},
        Case{"[account.a]\npackage = \"x\"\n",
             "f:2:11: expected a package of this file, found \"x\"\n"},
        Case{"[account.a]\npackage = 1\n",
             "f:2:11: expected the name of a package in package, found 1\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\ndomains = [\"a.org\", \"A.org\"]\n",
             "f:4:21: expected each domain once, but \"a.org\" is in account \"a\" (line 4) "
             "already\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\ndomains = [\"a.org\"]\nusers = [\"u\"]\n"
             "[account.b]\npackage = \"p\"\ndomains = [\"b.org\", \"a.org\"]\nusers = [\n "
             "\"u\"\n]\n",
             "f:8:21: expected each domain once, but \"a.org\" is in account \"a\" (line 4) "
             "already\n"
             "f:10:2: expected each user once, but \"u\" is in account \"a\" (line 5) already\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\ndomains = [\"@a.org\", \"a b\", \".x\", "
             "1]\n",
             "f:4:12: expected a mail domain, such as \"example.com\", found \"@a.org\"\n"
             "f:4:22: expected a mail domain, such as \"example.com\", found \"a b\"\n"
             "f:4:29: expected a mail domain, such as \"example.com\", found \".x\"\n"
             "f:4:35: expected a mail domain, such as \"example.com\", found 1\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\ndomains = \"a.org\"\n",
             "f:4:11: expected an array of mail domains, such as [\"example.com\"] in domains, "
             "found "
             "\"a.org\"\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\ntime_zone = \"Mars/Olympus\"\n",
             "f:4:13: expected a time zone of this system, such as \"Europe/Berlin\" in time_zone, "
             "found \"Mars/Olympus\"\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\nexternal = { db = { stale_after = \"2\" } "
             "}\n",
             "f:4:35: expected a time with its unit, such as \"2 days\", \"90 min\" or \"1 hour\" "
             "in "
             "stale_after, found \"2\"\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\ndomains = [\"a.org\"]\n"
             "[account.b]\npackage = \"p\"\n[account.b.user.\"x@a.org\"]\nimap = \"deny\"\n",
             "f:7:17: expected rules for users of this account, but \"x@a.org\" belongs to account "
             "\"a\" (line 4)\n"}));

INSTANTIATE_TEST_SUITE_P(
    WebRoots, PolicyProblems,
    testing::Values(
        Case{"[package.p]\n[account.a]\npackage = \"p\"\nweb_roots = [\"srv\", \"/a/../b\", \"/\", "
             "\"/a/./b\", \"\"]\n",
             "f:4:14: expected an absolute path without \".\" and \"..\", found \"srv\"\n"
             "f:4:21: expected an absolute path without \".\" and \"..\", found \"/a/../b\"\n"
             "f:4:32: expected a folder below /, found \"/\"\n"
             "f:4:37: expected an absolute path without \".\" and \"..\", found \"/a/./b\"\n"
             "f:4:47: expected an absolute path without \".\" and \"..\", found \"\"\n"},
        Case{
            "[package.p]\n[account.a]\npackage = \"p\"\nweb_roots = [\"/w/a\"]\n"
            "[account.b]\npackage = \"p\"\nweb_roots = [\"/w//a/\"]\n",
            "f:7:14: expected web roots of different accounts apart, but \"/w/a\" is a web root of "
            "account \"a\" (line 4)\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\nweb_roots = [\"/w/a/b/c\"]\n"
             "[account.b]\npackage = \"p\"\nweb_roots = [\"/w/x\", \"/w/a\"]\n",
             "f:4:14: expected web roots of different accounts apart, but \"/w/a/b/c\" lies in "
             "\"/w/a\" of account \"b\" (line 7)\n"},
        Case{"[package.p]\n[account.a]\npackage = \"p\"\nweb_roots = [\"/w/a\"]\n"
             "[account.b]\npackage = \"p\"\nweb_roots = [\"/w/ab\", \"/w/a-b\"]\n",
             ""}));

TEST(PolicyFile, NestedWebRootsOfOneAccountAreOne) {
  const Policy policy = Good(
      "[package.p]\n[account.a]\npackage = \"p\"\n"
      "web_roots = [\"/w/a/b/c\", \"/w/a\", \"/w/a/b\", \"/w/a\", \"/w/d\"]\n");
  EXPECT_EQ(policy.accounts[0].web_roots, (std::vector<std::string>{"/w/a", "/w/d"}));
}

TEST(PolicyFile, WarnsOfWhatIsProbablyNotMeant) {
  const ParsedPolicy parsed = Parse(
      "[package.p]\nlimit = \"1G\"\nover_limit = \"bill\"\n"
      "[package.q]\noverage = { price = \"1\", currency = \"EUR\" }\n");
  EXPECT_EQ(Lines(parsed.problems), "");
  EXPECT_EQ(Lines(parsed.warnings),
            "f:3:1: over_limit = \"bill\" without overage charges nothing\n"
            "f:5:1: overage is not charged without over_limit = \"bill\"\n");
}

TEST(PolicyFile, TellsAllProblemsAtOnce) {
  const ParsedPolicy parsed = Parse(
      "[package.gold]\nlimit = \"ten\"\nimap = maybe\nwarn_percent = [80,\n90\n100]\nlimt = 1\n"
      "[account.a]\npackage = \"gold\"\ntime_zone = \"x\"\ndomains = [\"a\", "
      "\"a\"]\n[account.a]\n");
  EXPECT_EQ(parsed.problems.size(), 7U) << Lines(parsed.problems);
}

TEST(PolicyFile, ProblemsAreBounded) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "x" + std::to_string(i) + " = 1\n";
  }
  const ParsedPolicy parsed = Parse(text);
  ASSERT_EQ(parsed.problems.size(), kMaxProblems + 1);
  EXPECT_EQ(FormatProblem("f", parsed.problems.back()), "f: and 900 more problems");
}

TEST(PolicyFile, AFileThatIsTooLargeIsNotRead) {
  const ParsedPolicy parsed = Parse(std::string(kMaxPolicyFile + 1, '#'));
  EXPECT_EQ(Lines(parsed.problems), "f: expected a file of at most 64 MiB\n");
}

TEST(PolicyFile, NamesHaveALongestLength) {
  const std::string name(kMaxName, 'n');
  EXPECT_EQ(Good("[package." + name + "]\n").packages[0].name, name);
  EXPECT_EQ(Parse("[package." + name + "n]\n").problems.size(), 1U);
}

TEST(PolicyFile, ControlCharactersDoNotReachTheLog) {
  const std::string lines = Lines(Parse("[package.p]\n\"a\\u001b[31m\\nb\\u009b\" = 1\n").problems);
  EXPECT_NE(lines.find("found \"a?[31m?b?\""), std::string::npos) << lines;
}

}  // namespace
}  // namespace hosting

// How customers are warned: the keys of the policy file.
#include <gtest/gtest.h>

#include "quota/policy_file.h"
#include "quota/policy_warnings.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

TEST(PolicyWarnings, AreRead) {
  const auto parsed = ParsePolicy(R"([package.p]
warn_mail = false
warn_script = false
[account.a]
package = "p"
contact = "boss+hosting@example.com"
[warnings]
from = "hosting@example.net"
[warnings.text.af-ZA]
subject_full = "Geen spasie vir {account} nie"
alert_full = "{account} is vol."
)",
                                  TestNames());
  ASSERT_TRUE(parsed.problems.empty()) << FormatProblem("p", parsed.problems[0]);
  const Package& package = parsed.policy.packages[0];
  EXPECT_EQ(package.warn, (std::array<bool, kWarnWays>{true, false, false, true, true}));
  EXPECT_EQ(parsed.policy.accounts[0].contact, "boss+hosting@example.com");
  const WarningOptions& warnings = parsed.policy.warnings;
  EXPECT_EQ(warnings.from, "hosting@example.net");
  EXPECT_EQ(PhraseOf(warnings.texts, "af-ZA", kSubjectFull), "Geen spasie vir {account} nie");
  EXPECT_EQ(PhraseOf(warnings.texts, "af-ZA", kAlertFull), "{account} is vol.");
  EXPECT_EQ(PhraseOf(warnings.texts, "af-ZA", kSaysFull), "The limit is reached.");
  EXPECT_EQ(PhraseOf(warnings.texts, "de-AT", kSaysFull), "Die Grenze ist erreicht.");
}

TEST(PolicyWarnings, Problems) {
  const struct {
    const char *text, *problem;
  } cases[] = {
      {"[package.p]\nwarn_imap = 1\n", "p:2:13: expected true or false in warn_imap, found 1"},
      {"[account.a]\npackage = \"p\"\ncontact = \"ann\"\n[package.p]\n",
       "p:3:11: expected a mail address, such as \"ann@example.com\" in contact, found \"ann\""},
      {"[warnings]\nfrom = \"a b@example.com\"\n",
       "p:2:8: expected a mail address, such as \"ann@example.com\" in from, found \"a "
       "b@example.com\""},
      {"[warnings.text.\"x y\"]\n", "p:1:16: expected a language, such as en or af-ZA"},
      {"[warnings.text.en]\nsubjct_full = \"x\"\n",
       "p:2:1: expected a known key, found \"subjct_full\"; did you mean \"subject_full\"?"},
      {"[warnings.text.en]\nfull = \"{limt}\"\n",
       "p:2:8: expected a known value in braces, found {limt} in full"},
      {"[warnings.text.en]\nalert_full = \"voll \\u00fc\"\n",
       "p:2:14: expected printable ASCII only, without control characters in alert_full"},
      {"[warnings.text.en]\nfull = \"a\\nb\"\n",
       "p:2:8: expected a line of text, at most 400 bytes in full"},
  };
  for (const auto& each : cases) {
    const auto parsed = ParsePolicy(each.text, TestNames());
    ASSERT_FALSE(parsed.problems.empty()) << each.text;
    EXPECT_EQ(FormatProblem("p", parsed.problems[0]), each.problem);
  }
}

TEST(PolicyWarnings, Addresses) {
  for (const char* const good : {"a@b", "a.b+c@example.com", "o'neil@x-y.example"}) {
    EXPECT_TRUE(IsPlainAddress(good)) << good;
  }
  for (const char* const bad :
       {"", "@", "a@", "@b", "a b@c", "a@b@c", "a..b@c", ".a@c", "a@c.", "a\r\nb@c", "\"a\"@c",
        "<a@c>", "a@c,d@e", "\xc3\xbc@c", "a@[1.2.3.4]", "a@b_c", "-f@c d"}) {
    EXPECT_FALSE(IsPlainAddress(bad)) << bad;
  }
}

TEST(PolicyWarnings, BuiltInTextsAreTemplates) {
  for (const std::string_view language : BuiltInLanguages()) {
    for (size_t i = 0; i < kGrowthPhrases; ++i) {
      const auto phrase = static_cast<GrowthPhrase>(i);
      const std::string text(PhraseOf({}, language, phrase));
      const std::string toml = "[warnings.text." + std::string(language) + "]\n" +
                               std::string(kGrowthPhraseNames[i]) + " = \"" + text + "\"\n";
      for (const Problem& problem : ParsePolicy(toml, TestNames()).problems) {
        ADD_FAILURE() << FormatProblem(text, problem);
      }
    }
  }
}

}  // namespace
}  // namespace hosting

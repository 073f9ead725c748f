// POP3's rules: what a policy says for a user, when a message goes, what a notice looks like.
#include "quota/pop3_rules.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "quota/notice.h"
#include "quota/policy_file.h"
#include "quota/pop3_state.h"
#include "quota/retention.h"
#include "tests/quota/policy_support.h"
#include "tests/quota/temp_folder.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;
constexpr int64_t kThen = 1'700'000'000;

constexpr const char* kPolicy = R"(
[package.pop]
imap = "deny"
pop3_retention = { days = 14, from = "retrieval", notice_days = 3, notice_text = "a\n\nb", expiry_folder = "Old" }
pop3_dele = { means = "defer", days = 5, warn = true }
pop3_into_inbox = true
[package.both]
pop3_retention = { days = 14 }
pop3_into_inbox = true
[account.pop]
package = "pop"
users = ["ann", "admin"]
user.admin.imap = "allow"
[account.both]
package = "both"
users = ["bob"]
)";

Pop3Rules RulesOf(const Policy& policy, const char* user) {
  return Pop3RulesOf(*PolicyIndex(policy).EffectiveOf(user, {}));
}

TEST(Pop3Rules, OfAUser) {
  const ParsedPolicy parsed = ParsePolicy(kPolicy, TestNames());
  ASSERT_TRUE(parsed.problems.empty()) << FormatProblem("f", parsed.problems[0]);
  const Pop3Rules ann = RulesOf(parsed.policy, "ann");
  ASSERT_TRUE(ann.retention.has_value());
  EXPECT_EQ(ann.retention->days, 14U);
  EXPECT_TRUE(ann.retention->from_retrieval);
  EXPECT_EQ(ann.retention->notice_text, "a\n\nb");
  EXPECT_EQ(ann.dele, (Pop3Dele{DeleMeans::kDefer, 5, true}));
  EXPECT_TRUE(ann.into_inbox);
  EXPECT_FALSE(ann.imap);
  const Pop3Rules admin = RulesOf(parsed.policy, "admin");
  EXPECT_FALSE(admin.retention.has_value()) << "may use IMAP";
  EXPECT_FALSE(admin.into_inbox);
  EXPECT_TRUE(admin.imap);
  EXPECT_FALSE(RulesOf(parsed.policy, "bob").retention.has_value());
}

TEST(Pop3Rules, AreExplained) {
  const ParsedPolicy parsed = ParsePolicy(kPolicy, TestNames());
  const auto lines_of = [&](const char* user) {
    auto lines = Explain(*PolicyIndex(parsed.policy).EffectiveOf(user, {}), "f");
    return std::vector<std::string>(lines.end() - 3, lines.end());
  };
  const auto line_of = [](const char* key) {
    const std::string_view text(kPolicy);
    const std::string_view before = text.substr(0, text.find(key));
    return std::to_string(1 + std::count(before.begin(), before.end(), '\n'));
  };
  const std::string retention = "package pop (f:" + line_of("pop3_retention") + ")";
  const std::string into_inbox = "package pop (f:" + line_of("pop3_into_inbox") + ")";
  const auto ann = lines_of("ann"), admin = lines_of("admin");
  EXPECT_TRUE(ann[0].starts_with("pop3_retention: 14 days after retrieval")) << ann[0];
  EXPECT_TRUE(ann[0].ends_with(": " + retention)) << ann[0];
  EXPECT_EQ(ann[1], "pop3_dele: defer until 5 days after delivery: package pop (f:" +
                        line_of("pop3_dele") + ")");
  EXPECT_EQ(ann[2], "pop3_into_inbox: true: " + into_inbox);
  EXPECT_EQ(admin[0], "pop3_retention: none (the user may use IMAP): " + retention);
  EXPECT_EQ(admin[2], "pop3_into_inbox: false (the user may use IMAP): " + into_inbox);
}

// The account's own language, then what the package says, then the language of all.
TEST(Pop3Rules, TextsByLanguage) {
  const ParsedPolicy parsed = ParsePolicy(R"([protocols]
language = "de"
text.de = { retention_subject = "Alte Mail", removal_text = "weg", folders = "Ordner: {list}" }
text.af = { retention_subject = "Ou pos", removal_subject = "Pos is weg" }
[package.own]
imap = "deny"
pop3_retention = { days = 14, notice_subject = "own" }
[package.usual]
imap = "deny"
pop3_retention = { days = 14 }
[account.a]
package = "own"
users = ["a"]
language = "af"
[account.b]
package = "own"
users = ["b"]
[account.c]
package = "usual"
users = ["c"]
[account.d]
package = "usual"
users = ["d"]
language = "fr"
)",
                                          TestNames());
  ASSERT_TRUE(parsed.problems.empty()) << FormatProblem("f", parsed.problems[0]);
  const auto rules_of = [&](const char* user) {
    return Pop3RulesOf(*PolicyIndex(parsed.policy).EffectiveOf(user, {}), parsed.policy.protocols);
  };
  EXPECT_EQ(rules_of("a").retention->notice_subject, "Ou pos");
  EXPECT_EQ(rules_of("a").removal_subject, "Pos is weg");
  EXPECT_EQ(rules_of("a").removal_text, "weg");
  EXPECT_EQ(rules_of("b").retention->notice_subject, "own");
  EXPECT_EQ(rules_of("c").retention->notice_subject, "Alte Mail");
  EXPECT_EQ(rules_of("d").retention->notice_subject, "Alte Mail");
  EXPECT_EQ(rules_of("d").folders, "Ordner: {list}");
  EXPECT_EQ(rules_of("d").removal_subject, "") << "built in";
  wire::Pop3 message;
  Fill(rules_of("a"), &message);
  EXPECT_EQ(Pop3RulesFrom(message), rules_of("a"));
}

TEST(Pop3Rules, OverTheWire) {
  const ParsedPolicy parsed = ParsePolicy(kPolicy, TestNames());
  for (const char* user : {"ann", "admin", "bob"}) {
    const Pop3Rules rules = RulesOf(parsed.policy, user);
    wire::Pop3 message;
    Fill(rules, &message);
    EXPECT_EQ(Pop3RulesFrom(message), rules) << user;
  }
  EXPECT_EQ(Pop3RulesFrom(wire::Pop3()), Pop3Rules()) << "of no account";
  wire::Pop3 wrong;
  wrong.set_dele(9);
  wrong.set_dele_days(1);
  wrong.mutable_retention()->set_days(1);  // without expiry_days, which are never 0
  EXPECT_EQ(Pop3RulesFrom(wrong), Pop3Rules());
}

TEST(Retention, Fates) {
  constexpr auto kNever = std::nullopt;
  struct Case {
    const char* name;
    bool from_retrieval, delete_unretrieved;
    MessageAge age;
    int64_t days;
    Fate fate;
  };
  const Case cases[] = {
      {"fetched, too young", false, false, {kThen, true, kThen, false}, 13, Fate::kStays},
      {"fetched, old", false, false, {kThen, true, kThen, false}, 14, Fate::kExpires},
      {"never fetched", false, false, {kThen, false, kNever, false}, 9999, Fate::kStays},
      {"never fetched, goes", false, true, {kThen, false, kNever, false}, 14, Fate::kExpires},
      {"fetched late", true, false, {kThen, true, kThen + 9 * kDay, false}, 14, Fate::kStays},
      {"fetched late, old",
       true,
       false,
       {kThen, true, kThen + 9 * kDay, false},
       23,
       Fate::kExpires},
      {"no time known", true, true, {kThen, true, kNever, false}, 9999, Fate::kStays},
      {"never fetched, counts from delivery",
       true,
       true,
       {kThen, false, kNever, false},
       14,
       Fate::kExpires},
      {"no date", false, true, {0, true, kNever, false}, 9999, Fate::kStays},
      {"deferred, young", false, false, {kThen, false, kNever, true}, 4, Fate::kStays},
      {"deferred", false, false, {kThen, false, kNever, true}, 5, Fate::kDeferred},
  };
  for (const Case& c : cases) {
    Pop3Rules rules;
    rules.retention.emplace();
    rules.retention->days = 14;
    rules.retention->from_retrieval = c.from_retrieval;
    rules.retention->delete_unretrieved = c.delete_unretrieved;
    rules.dele = {DeleMeans::kDefer, 5, false};
    EXPECT_EQ(FateOf(rules, c.age, kThen + c.days * kDay), c.fate) << c.name;
  }
  const MessageAge old{kThen, true, kThen, true};
  EXPECT_EQ(FateOf(Pop3Rules(), old, kThen + 9999 * kDay), Fate::kStays) << "no rules";
  EXPECT_FALSE(IsPastExpiry(Pop3Rules(), kThen, kThen + 9999 * kDay));
}

TEST(Notice, ValuesBringNoLineOfTheirOwn) {
  const TemplateValues values = {{"user", "a\r\nBcc: x"}, {"count", "3"}};
  EXPECT_EQ(FillTemplate("{user} {count} {other} {", values), "a??Bcc: x 3 {other} {");
  EXPECT_EQ(FillTemplate("{count}{count}", values), "33");
  Notice notice{"p@x", "a@x", "one\r\nBcc: y", "first\nsecond", "now", "id@x"};
  const std::string message = MessageOf(notice);
  EXPECT_EQ(message.find("\nBcc"), std::string::npos);
  EXPECT_NE(message.find("\r\nSubject: one??Bcc: y\r\n"), std::string::npos);
  EXPECT_NE(message.find("\r\nAuto-Submitted: auto-generated\r\n"), std::string::npos);
  EXPECT_NE(message.find("\r\n\r\nfirst\r\nsecond\r\n"), std::string::npos);
}

TEST(Notice, SubjectsBeyondAscii) {
  std::string subject;
  for (int i = 0; i < 40; ++i) {
    subject += "\xc3\xbc";
  }
  const std::string message = MessageOf({"p@x", "a@x", subject, "", "now", "id@x"});
  const size_t begin = message.find("Subject: =?utf-8?Q?=C3=BC");
  ASSERT_NE(begin, std::string::npos);
  for (size_t at = begin, end = 0; message[at] != 'D'; at = end + 2) {
    end = message.find("\r\n", at);
    EXPECT_LE(end - at, 78U);
    EXPECT_EQ(message.substr(end - 2, 2), "?=");
  }
}

TEST(Pop3State, RoundTripAndDamage) {
  TempFolder folder;
  const std::string path = folder.path() + "/state";
  EXPECT_EQ(ReadPop3State(path), Pop3State());
  const Pop3State state{kThen, kThen + 1};
  ASSERT_TRUE(WritePop3State(path, state).ok());
  EXPECT_EQ(ReadPop3State(path), state);
  std::ofstream(path) << "noticed x\nwarned 7\n";
  EXPECT_EQ(ReadPop3State(path), Pop3State());
  EXPECT_FALSE(WritePop3State(folder.path() + "/none/state", state).ok());
}

}  // namespace
}  // namespace hosting

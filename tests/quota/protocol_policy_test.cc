#include "quota/protocol_policy.h"

#include <gtest/gtest.h>

#include "quota/policy_protocols.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;
constexpr const char* kPolicy = R"([protocols]
exempt_ports = [10143]
exempt_networks = ["192.0.2.0/24", "127.0.0.9"]
pop3_host = "pop.example.com"
upgrade_url = "https://my.example.com/"
[protocols.text.de]
deny = "Paket {package}: kein {protocol}."
[package.pop-s]
imap = "deny"
[package.later]
imap = { access = "deny", from = "2027-01-31" }
pop3 = { access = "warn", from = "2027-01-31" }
[package.none]
imap = "deny"
pop3 = "deny"
[account.a]
package = "pop-s"
domains = ["a.example"]
[account.a.user."admin@a.example"]
imap = "allow"
[account.b]
package = "later"
domains = ["b.example"]
managesieve = "deny"
[account.c]
package = "pop-s"
domains = ["c.example"]
language = "de"
[account.d]
package = "none"
domains = ["d.example"]
language = "fr"
)";

class ProtocolPolicy : public testing::Test {
 protected:
  LoginDecision Decide(const std::string& user, Login login = {}) {
    effective = *index.EffectiveOf(user, fields);
    login.user = user;
    return DecideLogin(parsed.policy.protocols, effective, login);
  }
  std::string Explain(const LoginDecision& decision) {
    return ExplainLogin(decision, effective, "f");
  }

  const ParsedPolicy parsed = ParsePolicy(kPolicy, TestNames());
  const PolicyIndex index{parsed.policy};
  UserdbFields fields;
  Effective effective;
};

TEST_F(ProtocolPolicy, TheNearestRuleDecides) {
  ASSERT_TRUE(parsed.problems.empty()) << FormatProblem("f", parsed.problems[0]);
  LoginDecision decision = Decide("ann@a.example");
  EXPECT_EQ(decision.access, Access::kDeny);
  EXPECT_EQ(Explain(decision), "deny: package pop-s (f:9)");
  decision = Decide("admin@a.example");
  EXPECT_EQ(decision.access, Access::kAllow);
  EXPECT_EQ(Explain(decision), "allow: user admin@a.example (f:20)");
  EXPECT_EQ(Explain(Decide("bob@b.example", {.protocol = kManageSieve})), "deny: account b (f:24)");
  EXPECT_EQ(Explain(Decide("ann@a.example", {.protocol = kPop3})), "allow: default: no rule");
  fields.package = "later";
  EXPECT_EQ(Decide("ann@a.example", {.now = 0}).access, Access::kWarn);
}

TEST_F(ProtocolPolicy, BeforeItsDayARuleOnlyWarns) {
  const int64_t day = *ParseDay("2027-01-31") * kDay;
  LoginDecision decision = Decide("bob@b.example", {.now = day - 1});
  EXPECT_EQ(decision.access, Access::kWarn);
  EXPECT_EQ(Explain(decision), "warn: package later (f:11), deny from 2027-01-31");
  EXPECT_NE(decision.text.find("will stop working on 2027-01-31"), std::string::npos);
  EXPECT_EQ(Decide("bob@b.example", {.now = day}).access, Access::kDeny);
  EXPECT_EQ(Decide("bob@b.example", {.protocol = kPop3, .now = day - 1}).access, Access::kAllow);
  EXPECT_EQ(Decide("bob@b.example", {.protocol = kPop3, .now = day}).access, Access::kWarn);
}

TEST_F(ProtocolPolicy, Exemptions) {
  const std::string user = "ann@a.example";
  LoginDecision decision = Decide(user, {.port = 10143});
  EXPECT_EQ(decision.access, Access::kAllow);
  EXPECT_EQ(decision.exemption, Exemption::kPort);
  EXPECT_EQ(Explain(decision), "allow: package pop-s (f:9), exempt by the listener's port (f:2)");
  EXPECT_EQ(Decide(user, {.port = 143}).access, Access::kDeny);
  const struct {
    const char* hop;
    Access access;
  } hops[] = {{"192.0.2.77", Access::kAllow}, {"::ffff:192.0.2.77", Access::kAllow},
              {"192.0.3.1", Access::kDeny},   {"127.0.0.9", Access::kAllow},
              {"127.0.0.1", Access::kDeny},   {"::1", Access::kDeny}};
  for (const auto& [hop, access] : hops) {
    EXPECT_EQ(Decide(user, {.entry_hop = IpAddress::Parse(hop)}).access, access) << hop;
  }
  EXPECT_EQ(Explain(Decide(user, {.master_user = true})),
            "allow: package pop-s (f:9), exempt as a master user");
  // What is allowed needs no exemption.
  EXPECT_EQ(Decide("admin@a.example", {.port = 10143}).exemption, Exemption::kNone);
}

TEST_F(ProtocolPolicy, MasterUsersMayBeHeldToIt) {
  ProtocolOptions options = parsed.policy.protocols;
  options.exempt_master_users = false;
  effective = *index.EffectiveOf("ann@a.example", {});
  EXPECT_EQ(DecideLogin(options, effective, {.master_user = true}).access, Access::kDeny);
}

TEST_F(ProtocolPolicy, Texts) {
  EXPECT_EQ(Decide("ann@a.example").text,
            "IMAP is not included in your package pop-s. POP3 works: pop.example.com port 995. "
            "Upgrade: https://my.example.com/");
  EXPECT_EQ(Decide("bob@b.example", {.protocol = kManageSieve}).text,
            "ManageSieve is not included in your package later. Upgrade: https://my.example.com/");
  EXPECT_EQ(Decide("cid@c.example").text, "Paket pop-s: kein IMAP.");
  // POP3 does not work either, and there is no text in French.
  EXPECT_EQ(Decide("dan@d.example").text,
            "IMAP is not included in your package none. Upgrade: https://my.example.com/");
  EXPECT_EQ(Decide("admin@a.example").text, "");
}

TEST_F(ProtocolPolicy, HostileNamesStayText) {
  Package package;
  package.name = "x\r\n* BYE [ALERT] \"y\\";
  package.access[kImap] = {Access::kDeny, 1};
  Effective hostile;
  hostile.package = &package;
  hostile.account_name = "a\tb=c\n";
  const std::string text = DecideLogin({}, hostile, {.user = "u\r\nA NO"}).text;
  EXPECT_EQ(text, "IMAP is not included in your package x* BYE [ALERT] \"y\\.");
}

TEST(ProtocolPolicyFile, WhatIsWrong) {
  const struct {
    const char *text, *problem;
  } cases[] = {
      {"[package.p]\nimap = { from = \"2027-01-31\" }\n", "f:2:8: expected the key access in imap"},
      {"[package.p]\nimap = { access = \"deny\", from = \"2027-02-30\" }\n",
       "f:2:34: expected a date in quotes, such as \"2027-01-31\" in from, found \"2027-02-30\""},
      {"[package.p]\nimap = { access = \"allow\", from = \"2027-01-31\" }\n",
       "f:2:8: expected from only with \"warn\" or \"deny\""},
      {"[protocols]\nexempt_ports = [0]\n", "f:2:17: expected "},
      {"[protocols]\nexempt_networks = [\"10.0.0.1/8\"]\n", "f:2:20: expected a network"},
      {"[protocols]\nanswer = \"no\"\n",
       "f:2:10: expected one of \"nologin\", \"alert\", \"session\""},
      {"[protocols]\npop3_host = \"a b\"\n", "f:2:13: expected a host's name"},
      {"[protocols]\nupgrade_url = \"x\\r\\ny\"\n", "f:2:15: expected an address"},
      {"[protocols.text.en]\ndeny = \"no\\r\\n* BYE\"\n",
       "f:2:8: expected printable ASCII only, without control characters, at character 3 of"},
      {"[protocols.text.en]\nwarn = \"{what}\"\n", "f:2:8: expected one of {package}"},
      {"[protocols.text.\"e n\"]\ndeny = \"x\"\n", "f:1:17: expected a language"},
  };
  for (const auto& c : cases) {
    const ParsedPolicy parsed = ParsePolicy(c.text, TestNames());
    ASSERT_EQ(parsed.problems.size(), 1U) << c.text;
    EXPECT_EQ(FormatProblem("f", parsed.problems[0]).substr(0, std::string(c.problem).size()),
              c.problem);
  }
}

TEST(ProtocolPolicyFile, ATextWithoutItsValueIsWarnedOf) {
  const ParsedPolicy parsed =
      ParsePolicy("[protocols.text.en]\ndeny = \"See {upgrade_url}\"\n", TestNames());
  EXPECT_TRUE(parsed.problems.empty());
  ASSERT_EQ(parsed.warnings.size(), 1U);
  EXPECT_NE(parsed.warnings[0].text.find("{upgrade_url}"), std::string::npos);
}

TEST(ProtocolPolicyFile, Days) {
  EXPECT_EQ(*ParseDay("1970-01-02"), 1U);
  EXPECT_EQ(FormatDay(*ParseDay("2028-02-29")), "2028-02-29");
  for (const char* const text :
       {"", "2027-1-31", "2027-13-01", "2027-02-29", "2027/01/31", "1970-01-01"}) {
    EXPECT_FALSE(ParseDay(text)) << text;
  }
}

}  // namespace
}  // namespace hosting

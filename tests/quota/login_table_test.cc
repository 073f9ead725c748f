#include "quota/login_table.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include "quota/login_table_file.h"
#include "quota/policy_snapshot.h"
#include "quota/protocol_policy.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

std::string Full() {
  return EncodeLoginTable(ParsePolicy(kFullPolicy, TestNames()).policy, 7);
}

// A policy of many accounts, in which each third has rules of its own.
Policy Many(int accounts) {
  std::string text = "[package.p]\nimap = \"deny\"\n[package.q]\n";
  for (int i = 0; i < accounts; ++i) {
    const std::string name = std::to_string(i) + ".example";
    text += "[account.\"" + name + "\"]\npackage = \"" + (i % 2 == 0 ? "p" : "q") +
            "\"\ndomains = [\"" + name + "\", \"WWW." + name + "\"]\nusers = [\"u" + name + "\"]\n";
    if (i % 3 == 0) {
      text +=
          "pop3 = \"warn\"\n[account.\"" + name + "\".user.\"x@" + name + "\"]\nimap = \"allow\"\n";
    }
  }
  return ParsePolicy(text, TestNames()).policy;
}

// What the table says is what the policy itself says.
TEST(LoginTable, AgreesWithThePolicy) {
  const Policy policy = Many(1000);
  const PolicyIndex index(policy);
  const auto table = LoginTable::Open(EncodeLoginTable(policy, 1));
  ASSERT_TRUE(table.ok());
  std::vector<std::string> users = {"", "@", "nobody", "a@b", "x@1000.example"};
  for (int i = 0; i < 1000; ++i) {
    const std::string name = std::to_string(i) + ".example";
    for (const std::string& user : {"x@" + name, "y@www." + name, "Y@" + name, "u" + name}) {
      users.push_back(user);
    }
  }
  for (const UserdbFields& fields :
       {UserdbFields{}, UserdbFields{"3.example", "", {}, {}}, UserdbFields{"", "q", {}, {}},
        UserdbFields{"", "unknown", {}, {}}, UserdbFields{"new", "p", {}, {}},
        UserdbFields{"new", "", {}, {}}}) {
    for (const std::string& user : users) {
      const auto effective = index.EffectiveOf(user, fields);
      LoginRules rules;
      std::string problem;
      ASSERT_EQ((*table)->Find(user, fields, &rules, &problem), effective.has_value()) << user;
      if (!effective) {
        continue;
      }
      for (const Protocol protocol : {kImap, kPop3}) {
        const Login login{.protocol = protocol, .user = user};
        const LoginDecision expected = DecideLogin(policy.protocols, *effective, login);
        const LoginDecision found = DecideLogin((*table)->options(), rules.effective, login);
        EXPECT_EQ(found.text, expected.text);
        EXPECT_EQ(ExplainLogin(found, rules.effective, "f"),
                  ExplainLogin(expected, *effective, "f"));
      }
    }
  }
}

TEST(LoginTable, FieldsThatAreWrongAreTold) {
  const auto table = LoginTable::Open(Full());
  ASSERT_TRUE(table.ok());
  LoginRules rules;
  std::string problem;
  EXPECT_TRUE((*table)->Find("ann@b.example", {"", "gone", {}, {}}, &rules, &problem));
  EXPECT_EQ(rules.effective.package->name, "free");  // the account's own
  EXPECT_NE(problem.find("\"gone\""), std::string::npos);
  LoginRules none;
  problem.clear();
  EXPECT_FALSE((*table)->Find("ann@b.example", {"new", "", {}, {}}, &none, &problem));
  EXPECT_NE(problem.find("\"new\""), std::string::npos);
}

TEST(LoginTable, OptionsComeBack) {
  const Policy policy = ParsePolicy(kFullPolicy, TestNames()).policy;
  const auto table = LoginTable::Open(EncodeLoginTable(policy, 9));
  ASSERT_TRUE(table.ok());
  EXPECT_EQ((*table)->options(), policy.protocols);
  EXPECT_EQ((*table)->generation(), 9U);
}

TEST(LoginTable, HasNothingOfMoneyAndFolders) {
  const std::string bytes = Full();
  for (const char* const secret : {"ZAR", "20.00", "/srv/www", "databases", "/var/vmail"}) {
    EXPECT_EQ(bytes.find(secret), std::string::npos) << secret;
  }
}

TEST(LoginTable, EachChangedOrMissingByteIsSeen) {
  const std::string good = Full();
  ASSERT_TRUE(LoginTable::Open(good).ok());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    EXPECT_FALSE(LoginTable::Open(bad).ok()) << i;
    EXPECT_FALSE(LoginTable::Open(good.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(LoginTable::Open(good + "x").ok());
}

TEST(LoginTable, AnotherFormatIsSaid) {
  std::string bytes = Full();
  bytes[8] = 2;
  EXPECT_EQ(LoginTable::Open(WithLoginTableChecksum(bytes)).status().code(), Code::kUnsupported);
}

class LoginTableFileTest : public testing::Test {
 protected:
  std::string Package(const std::string& user) {
    const auto& table = file.Get();
    LoginRules rules;
    std::string problem;
    return table != nullptr && table->Find(user, {}, &rules, &problem)
               ? rules.effective.package->name
               : "";
  }

  TemporaryFolder folder;
  const std::string path = folder / "policy.logins";
  std::vector<std::string> said;
  LoginTableFile file{path, [this](const std::string& line) { said.push_back(line); }};
};

TEST_F(LoginTableFileTest, AReplacedFileIsTakenAndABadOneIsNot) {
  EXPECT_EQ(Package("x@0.example"), "");
  EXPECT_EQ(Package("x@0.example"), "");
  ASSERT_EQ(said.size(), 1U);  // not at each login
  ASSERT_TRUE(WriteSnapshotBytes(path, EncodeLoginTable(Many(1), 1)).ok());
  EXPECT_EQ(Package("x@0.example"), "p");
  EXPECT_EQ(Package("x@1.example"), "");
  ASSERT_TRUE(WriteSnapshotBytes(path, EncodeLoginTable(Many(2), 2)).ok());
  EXPECT_EQ(Package("x@1.example"), "q");
  ASSERT_TRUE(WriteSnapshotBytes(path, EncodeLoginTable(Many(3), 3).substr(0, 99)).ok());
  EXPECT_EQ(Package("x@1.example"), "q");
  EXPECT_EQ(Package("x@1.example"), "q");
  ASSERT_EQ(said.size(), 2U);
  EXPECT_NE(said[1].find("the last good policy stays in use"), std::string::npos);
  unlink(path.c_str());
  EXPECT_EQ(Package("x@1.example"), "q");
  EXPECT_EQ(said.size(), 3U);
  ASSERT_TRUE(WriteSnapshotBytes(path, EncodeLoginTable(Many(3), 3)).ok());
  EXPECT_EQ(Package("x@2.example"), "p");
  EXPECT_EQ(said.size(), 3U);
}

}  // namespace
}  // namespace hosting

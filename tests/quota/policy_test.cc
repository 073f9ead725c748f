#include "quota/policy.h"

#include <gtest/gtest.h>

#include "quota/size.h"

namespace hosting {
namespace {

constexpr uint64_t kG = 1ULL << 30;

// Two packages, an account by domain, one by users.
Policy Example() {
  Policy policy;
  Package gold;
  gold.name = "gold";
  gold.line = 1;
  gold.lines[kKeyLimit] = 2;
  gold.lines[kKeyMailboxLimit] = 3;
  gold.limit = 10 * kG;
  gold.mailbox_limit = 2 * kG;
  gold.access[kImap] = {Access::kWarn, 5};
  Package bill = gold;
  bill.name = "bill";
  bill.over_limit = OverLimit::kBill;
  bill.hard_limit = 12 * kG;
  policy.packages = {bill, gold};

  Account domain;
  domain.name = "example.com";
  domain.package = "gold";
  domain.lines[kKeyPackage] = 21;
  domain.domains = {"example.com"};
  UserRule rule;
  rule.user = "log@example.com";
  rule.access[kImap] = {Access::kDeny, 30};
  rule.mailbox_limit = kG;
  rule.lines[kKeyMailboxLimit] = 31;
  domain.user_rules = {rule};
  Account users;
  users.name = "smith";
  users.package = "bill";
  users.users = {"ann@example.com", "bob"};
  users.extra_space = kG;
  users.lines[kKeyExtraSpace] = 42;
  users.access[kPop3] = {Access::kDeny, 43};
  policy.accounts = {domain, users};
  return policy;
}

class PolicyTest : public testing::Test {
 protected:
  Effective Of(const std::string& user, const UserdbFields& fields = {}) {
    auto effective = index_.EffectiveOf(user, fields, &problem_);
    EXPECT_TRUE(effective.has_value()) << user;
    return effective.value_or(Effective{});
  }

  Policy policy_ = Example();
  PolicyIndex index_{policy_};
  std::string problem_;
};

TEST_F(PolicyTest, FindsByName) {
  EXPECT_EQ(index_.FindPackage("gold")->name, "gold");
  EXPECT_EQ(index_.FindPackage("Gold"), nullptr);
  EXPECT_EQ(index_.FindAccount("smith")->name, "smith");
  EXPECT_EQ(index_.FindAccount(""), nullptr);
}

TEST_F(PolicyTest, UsersGoBeforeDomains) {
  EXPECT_EQ(index_.AccountOfUser("x@example.com")->name, "example.com");
  EXPECT_EQ(index_.AccountOfUser("x@EXAMPLE.Com")->name, "example.com");
  EXPECT_EQ(index_.AccountOfUser("a@b@example.com")->name, "example.com");
  EXPECT_EQ(index_.AccountOfUser("ann@example.com")->name, "smith");
  EXPECT_EQ(index_.AccountOfUser("Ann@example.com")->name, "example.com");  // as Dovecot names them
  EXPECT_EQ(index_.AccountOfUser("bob")->name, "smith");
  EXPECT_EQ(index_.AccountOfUser("example.com"), nullptr);
  EXPECT_EQ(index_.AccountOfUser("x@sub.example.com"), nullptr);
  EXPECT_EQ(index_.AccountOfUser("x@"), nullptr);
  EXPECT_EQ(index_.AccountOfUser(""), nullptr);
}

TEST_F(PolicyTest, ThePackageHolds) {
  const Effective effective = Of("x@example.com");
  EXPECT_EQ(effective.limit, 10 * kG);
  EXPECT_EQ(effective.hard_limit, 10 * kG);
  EXPECT_EQ(effective.mailbox_limit, 2 * kG);
  EXPECT_EQ(effective.account_name, "example.com");
  EXPECT_EQ(effective.limit_by.decider, Decider::kPackage);
  EXPECT_TRUE(effective.enforce);
}

TEST_F(PolicyTest, TheAccountIsOverThePackage) {
  policy_.accounts[1].limit = 20 * kG;
  policy_.accounts[1].mailbox_limit = 0;
  const Effective effective = Of("bob");
  EXPECT_EQ(effective.limit, 21 * kG);       // its own limit and its extra space
  EXPECT_EQ(effective.hard_limit, 23 * kG);  // with the package's room of 2G above
  EXPECT_EQ(effective.mailbox_limit, 0U);
  EXPECT_EQ(effective.mailbox_limit_by.decider, Decider::kAccount);
}

TEST_F(PolicyTest, TheUsersRuleIsOverTheAccount) {
  policy_.accounts[0].mailbox_limit = 3 * kG;
  EXPECT_EQ(Of("log@example.com").mailbox_limit, kG);
  EXPECT_EQ(Of("x@example.com").mailbox_limit, 3 * kG);
}

TEST_F(PolicyTest, UserdbFieldsAreOverAll) {
  const Effective effective = Of("log@example.com", {"smith", "gold", 5 * kG, 7 * kG});
  EXPECT_EQ(effective.account_name, "smith");
  EXPECT_EQ(effective.package->name, "gold");
  EXPECT_EQ(effective.limit, 15 * kG);
  EXPECT_EQ(effective.mailbox_limit, 7 * kG);
  EXPECT_EQ(effective.package_by.decider, Decider::kUserdb);
  EXPECT_EQ(problem_, "");
}

TEST_F(PolicyTest, AnAccountMayBeKnownByItsFieldsAlone) {
  const Effective effective = Of("x@elsewhere.org", {"new", "gold", {}, {}});
  EXPECT_EQ(effective.account, nullptr);
  EXPECT_EQ(effective.account_name, "new");
  EXPECT_EQ(effective.limit, 10 * kG);
  EXPECT_FALSE(index_.EffectiveOf("x@elsewhere.org", {}, &problem_).has_value());
  EXPECT_EQ(problem_, "");
  EXPECT_FALSE(index_.EffectiveOf("x", {"new", "", {}, {}}, &problem_).has_value());
  EXPECT_NE(problem_.find("hosting_account names \"new\""), std::string::npos);
}

TEST_F(PolicyTest, AnUnknownPackageLeavesTheAccountsOwn) {
  const Effective effective = Of("x@example.com", {"", "platinum", {}, {}});
  EXPECT_EQ(effective.package->name, "gold");
  EXPECT_EQ(effective.package_by.decider, Decider::kAccount);
  EXPECT_NE(problem_.find("hosting_package names \"platinum\""), std::string::npos);
}

TEST_F(PolicyTest, NoLimitStaysNone) {
  policy_.packages[0].limit = policy_.packages[0].hard_limit = 0;
  const Effective effective = Of("bob");  // has extra space
  EXPECT_EQ(effective.limit, 0U);
  EXPECT_EQ(effective.hard_limit, 0U);
  EXPECT_EQ(effective.extra_space, 0U);
}

TEST_F(PolicyTest, BillWithoutAHardLimitEnforcesNone) {
  policy_.packages[0].hard_limit = 0;
  EXPECT_EQ(Of("bob").limit, 11 * kG);
  EXPECT_EQ(Of("bob").hard_limit, 0U);
}

TEST_F(PolicyTest, HugeExtraSpaceDoesNotWrap) {
  EXPECT_EQ(Of("bob", {"", "", UINT64_MAX, {}}).limit, UINT64_MAX);
  EXPECT_EQ(Of("bob", {"", "", UINT64_MAX, {}}).hard_limit, UINT64_MAX);
}

TEST_F(PolicyTest, OffSwitches) {
  policy_.packages[1].enforce = false;
  EXPECT_FALSE(Of("x@example.com").enforce);
  policy_.accounts[0].enforce = true;
  EXPECT_TRUE(Of("x@example.com").enforce);
  policy_.service.enforce = false;  // over everything
  EXPECT_FALSE(Of("x@example.com").enforce);
  EXPECT_EQ(Of("x@example.com").enforce_by.decider, Decider::kService);
}

TEST_F(PolicyTest, Access) {
  EXPECT_EQ(PolicyIndex::AccessOf(Of("x@example.com"), kImap).access, Access::kWarn);
  EXPECT_EQ(PolicyIndex::AccessOf(Of("x@example.com"), kSmtp).access, Access::kAllow);
  EXPECT_EQ(PolicyIndex::AccessOf(Of("log@example.com"), kImap).access, Access::kDeny);
  EXPECT_EQ(PolicyIndex::AccessOf(Of("log@example.com"), kImap).by.line, 30U);
  EXPECT_EQ(PolicyIndex::AccessOf(Of("bob"), kPop3).access, Access::kDeny);
  EXPECT_EQ(PolicyIndex::AccessOf(Of("bob"), kPop3).by.decider, Decider::kAccount);
}

TEST_F(PolicyTest, ExplainsWhatDecides) {
  const auto lines = Explain(Of("log@example.com", {"", "", 5 * kG, {}}));
  const std::vector<std::string> expected = {
      "package: gold: account example.com (line 21)",
      "limit: 15G: package gold (line 2), with extra_space 5G: userdb field hosting_extra_space",
      "mailbox_limit: 1G: user log@example.com (line 31)",
      "message_limit: none: default",
      "over_limit: refuse: default",
      "enforce: true: default",
      "imap: deny: user log@example.com (line 30)",
      "pop3: allow: default",
      "managesieve: allow: default",
      "submission: allow: default",
      "smtp: allow: default",
      "warn_percent: 80, 90, 100: default",
      "warn_days: none: default",
      "warn_weekly_percent: none: default",
      "warn_overage: none: default",
      "pop3_retention: none: default",
      "pop3_dele: delete: default",
      "pop3_into_inbox: false: default",
  };
  EXPECT_EQ(lines, expected);
  EXPECT_EQ(Explain(Of("bob"))[1],
            "limit: 11G: package bill (line 2), with extra_space 1G: account smith (line 42)");
  EXPECT_EQ(Explain(Of("bob"), "f.toml")[1],
            "limit: 11G: package bill (f.toml:2), with extra_space 1G: account smith (f.toml:42)");
}

}  // namespace
}  // namespace hosting

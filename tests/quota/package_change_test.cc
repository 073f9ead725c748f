// What another package means, mailbox by mailbox; a package that a field names is not the file's.
#include "quota/package_change.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "quota/policy_file.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

constexpr const char* kPolicy = R"(
[package.gold]
limit = "10G"
[package.pop]
imap = "deny"
limit = "1G"
pop3_retention = { days = 14 }
[account.a]
package = "%s"
users = ["ann", "bob"]
)";

Policy With(std::string package) {
  std::string text = kPolicy;
  text.replace(text.find("%s"), 2, package);
  ParsedPolicy parsed = ParsePolicy(text, TestNames());
  EXPECT_TRUE(parsed.problems.empty());
  return parsed.policy;
}

std::vector<PackageChange> Changes(const std::vector<StoredMail>& mail) {
  const Policy gold = With("gold"), pop = With("pop");
  return PackageChanges(PolicyIndex(gold), PolicyIndex(pop), "a", 2ULL << 30, mail);
}

const PackageChange* Find(const std::vector<PackageChange>& changes, const std::string& user,
                          const std::string& what) {
  const auto found = std::find_if(changes.begin(), changes.end(), [&](const PackageChange& each) {
    return each.user == user && each.what == what;
  });
  return found == changes.end() ? nullptr : &*found;
}

TEST(PackageChange, EachMailbox) {
  const auto changes = Changes({{"ann", 1000}, {"bob", 0}});
  ASSERT_NE(Find(changes, "", "limit"), nullptr);
  EXPECT_EQ(Find(changes, "", "limit")->note,
            "2G is stored: over by 1G; the account takes no mail until there is room");
  for (const char* user : {"ann", "bob"}) {
    for (const char* what : {"imap", "retention", "folders", "Sent"}) {
      EXPECT_NE(Find(changes, user, what), nullptr) << user << " " << what;
    }
  }
}

TEST(PackageChange, FieldsGoBeforeTheFile) {
  StoredMail bob{"bob", 0, {}, "the userdb"};
  bob.fields.package = "gold";
  const std::vector<StoredMail> mail = {{"ann", 1000}, bob};
  const auto changes = Changes(mail);
  EXPECT_NE(Find(changes, "ann", "imap"), nullptr);
  EXPECT_EQ(Find(changes, "bob", "imap"), nullptr);
  ASSERT_NE(Find(changes, "bob", "package"), nullptr);
  EXPECT_EQ(Find(changes, "bob", "package")->after, "gold");
  EXPECT_EQ(Find(changes, "bob", "package")->note,
            "from the field hosting_package of the userdb: the policy file does not change it");
  EXPECT_FALSE(ComesFromFields(mail));
  EXPECT_FALSE(ComesFromFields({}));
  EXPECT_TRUE(ComesFromFields({bob}));
}

}  // namespace
}  // namespace hosting

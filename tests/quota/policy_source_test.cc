#include "quota/policy_source.h"

#include <filesystem>

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

namespace fs = std::filesystem;
using From = PolicySource::From;

constexpr const char* kGold = "[package.gold]\nlimit = \"10G\"\n";
constexpr const char* kSilver = "[package.silver]\nlimit = \"5G\"\n";
constexpr const char* kBad = "[package.gold]\nlimit = 10G\nlimt = 1\n";

class PolicySourceTest : public testing::Test {
 protected:
  PolicySource Make() { return PolicySource({file_, snapshot_, folder_.rules(), TestNames()}); }
  // As an editor does it: another file under the name.
  void Replace(const std::string& text) {
    WriteFile(file_ + ".new", text);
    fs::rename(file_ + ".new", file_);
  }
  static std::string Text(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
      text += line + "\n";
    }
    return text;
  }

  TemporaryFolder folder_;
  std::string file_ = folder_ / "hosting.toml";
  std::string snapshot_ = folder_ / "policy.snapshot";
};

TEST_F(PolicySourceTest, AGoodFileIsUsedAndKept) {
  WriteFile(file_, kGold);
  PolicySource source = Make();
  const auto outcome = source.Load();
  EXPECT_TRUE(outcome.ok()) << Text(outcome.errors);
  EXPECT_EQ(outcome.from, From::kFile);
  EXPECT_TRUE(outcome.changed);
  EXPECT_NE(source.index().FindPackage("gold"), nullptr);
  const auto kept = ReadSnapshot(snapshot_);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->generation, 1U);
  EXPECT_EQ(kept->policy, source.policy());
  EXPECT_EQ(kept->file.inode, StatPolicy(file_)->inode);
}

TEST_F(PolicySourceTest, ABadFileLeavesTheLastGoodSnapshot) {
  WriteFile(file_, kGold);
  EXPECT_TRUE(Make().Load().ok());
  Replace(kBad);
  PolicySource source = Make();
  const auto outcome = source.Load();
  EXPECT_EQ(outcome.from, From::kSnapshot);
  EXPECT_NE(source.index().FindPackage("gold"), nullptr);
  EXPECT_EQ(Text(outcome.errors),
            file_ +
                ":2:9: expected a size in bytes, such as \"10G\", \"512M\" or \"100k\" (G = 2^30), "
                "or \"none\" for no limit in limit, found \"10G\" without quotes\n" +
                file_ + ":3:1: expected a known key, found \"limt\"; did you mean \"limit\"?\n" +
                file_ + ": the last good policy is used, as of " + snapshot_ + ", generation 1\n");
}

TEST_F(PolicySourceTest, NoFileAndNoSnapshotLimitNothing) {
  PolicySource source = Make();
  const auto outcome = source.Load();
  EXPECT_EQ(outcome.from, From::kNothing);
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.errors.size(), 2U);
  EXPECT_NE(outcome.errors[1].find("no policy, nothing is limited"), std::string::npos);
  EXPECT_FALSE(source.index().EffectiveOf("ann@example.com", {}).has_value());
}

TEST_F(PolicySourceTest, ABadFileAndABadSnapshotLimitNothing) {
  WriteFile(file_, kBad);
  WriteFile(snapshot_, "hostpol\n and then something else, long enough for a header");
  PolicySource source = Make();
  const auto outcome = source.Load();
  EXPECT_EQ(outcome.from, From::kNothing);
  EXPECT_NE(outcome.errors.back().find(snapshot_ + ": policy snapshot has format"),
            std::string::npos);
  EXPECT_TRUE(source.policy().packages.empty());
}

TEST_F(PolicySourceTest, AReloadTakesAGoodFileAndLeavesThePolicyWithABadOne) {
  WriteFile(file_, kGold);
  PolicySource source = Make();
  ASSERT_TRUE(source.Load().ok());
  EXPECT_FALSE(source.Changed());
  const auto before = source.current();

  Replace(kBad);
  EXPECT_TRUE(source.Changed());
  auto outcome = source.Reload();
  EXPECT_FALSE(outcome.ok());
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(source.current(), before);
  EXPECT_EQ(outcome.errors.back(), file_ + ": the policy in use stays");
  EXPECT_FALSE(source.Changed());  // told once

  Replace(kSilver);
  EXPECT_TRUE(source.Changed());
  outcome = source.Reload();
  EXPECT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome.changed);
  EXPECT_NE(source.index().FindPackage("silver"), nullptr);
  EXPECT_NE(before->index.FindPackage("gold"), nullptr);  // who holds the old one still can ask it
  EXPECT_EQ(ReadSnapshotHeader(snapshot_)->generation, 2U);

  fs::remove(file_);
  EXPECT_TRUE(source.Changed());
  EXPECT_FALSE(source.Reload().ok());
  EXPECT_NE(source.index().FindPackage("silver"), nullptr);
  EXPECT_FALSE(source.Changed());
}

TEST_F(PolicySourceTest, AReloadOfTheSameFileChangesNothing) {
  WriteFile(file_, kGold);
  PolicySource source = Make();
  EXPECT_TRUE(source.Load().changed);
  const auto before = source.current();
  for (int i = 0; i < 2; ++i) {
    const auto outcome = source.Reload();
    EXPECT_TRUE(outcome.ok());
    EXPECT_FALSE(outcome.changed);
    EXPECT_EQ(source.current(), before);
  }
  Replace(kGold);  // another file, of the same content
  EXPECT_TRUE(source.Reload().changed);
}

TEST_F(PolicySourceTest, AChangeInPlaceOfTheSameSizeIsSeen) {
  WriteFile(file_, kGold);
  PolicySource source = Make();
  ASSERT_TRUE(source.Load().ok());
  // At once, so that the file's times may be the same.
  WriteFile(file_, "[package.gold]\nlimit = \"20G\"\n");
  EXPECT_TRUE(source.Changed());
  EXPECT_TRUE(source.Reload().ok());
  EXPECT_EQ(source.index().FindPackage("gold")->limit, 20ULL << 30);
  EXPECT_FALSE(source.Changed());
}

TEST_F(PolicySourceTest, TheSameFileKeepsItsSnapshot) {
  WriteFile(file_, kGold);
  EXPECT_TRUE(Make().Load().ok());
  const auto before = StatPolicy(snapshot_);
  EXPECT_TRUE(Make().Load().ok());
  EXPECT_EQ(StatPolicy(snapshot_)->inode, before->inode);
  EXPECT_EQ(ReadSnapshotHeader(snapshot_)->generation, 1U);
  Replace(kSilver);
  EXPECT_TRUE(Make().Load().ok());
  EXPECT_EQ(ReadSnapshotHeader(snapshot_)->generation, 2U);
}

TEST_F(PolicySourceTest, AnUnsafeFileIsBad) {
  WriteFile(file_, kGold);
  ASSERT_EQ(chmod(file_.c_str(), 0666), 0);
  PolicySource source = Make();
  const auto outcome = source.Load();
  EXPECT_EQ(outcome.from, From::kNothing);
  EXPECT_EQ(outcome.errors[0], file_ + ": expected " + file_ +
                                   " to be writable by its owner only, not with mode 0666");
  ASSERT_EQ(chmod(file_.c_str(), 0644), 0);
  EXPECT_TRUE(source.Changed());  // its inode's time has changed
  EXPECT_TRUE(source.Reload().ok());
}

TEST_F(PolicySourceTest, WithoutASnapshotPathNothingIsWritten) {
  WriteFile(file_, kGold);
  PolicySource source({file_, "", folder_.rules(), TestNames()});
  EXPECT_TRUE(source.Load().ok());
  EXPECT_FALSE(fs::exists(snapshot_));
  Replace(kBad);
  PolicySource bad({file_, "", folder_.rules(), TestNames()});
  EXPECT_EQ(bad.Load().errors.size(), 2U);
}

TEST_F(PolicySourceTest, ASnapshotThatCannotBeWrittenIsToldAndThePolicyUsed) {
  WriteFile(file_, kGold);
  snapshot_ = folder_ / "nowhere/policy.snapshot";
  PolicySource source = Make();
  const auto outcome = source.Load();
  EXPECT_EQ(outcome.from, From::kFile);
  ASSERT_EQ(outcome.errors.size(), 1U);
  EXPECT_NE(outcome.errors[0].find("cannot keep the policy for a restart: "), std::string::npos);
}

}  // namespace
}  // namespace hosting

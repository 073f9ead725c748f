#include "quota/policy_path.h"

#include <filesystem>

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "quota/policy_file.h"
#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

namespace fs = std::filesystem;

class PolicyPath : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "etc/dovecot");
    WriteFile(file_, "[package.p]\n");
    Mode("etc", 0755);
    Mode("etc/dovecot", 0755);
  }
  void Mode(const std::string& name, unsigned mode) {
    ASSERT_EQ(chmod((folder_ / name).c_str(), mode), 0);
  }
  std::string Refused(const std::string& path) {
    const auto read = ReadPolicyText(path, folder_.rules());
    EXPECT_FALSE(read.ok()) << path;
    EXPECT_TRUE(read.ok() || read.status().code() == Code::kPermission);
    return read.ok() ? "" : read.status().message();
  }

  TemporaryFolder folder_;
  std::string file_ = folder_ / "etc/dovecot/hosting.toml";
};

TEST_F(PolicyPath, ReadsAndIdentifies) {
  const auto read = ReadPolicyText(file_, folder_.rules());
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->text, "[package.p]\n");
  EXPECT_EQ(read->identity.size, 12U);
  EXPECT_EQ(read->identity.inode, StatPolicy(file_)->inode);
  EXPECT_NE(read->identity.hash, 0U);
  EXPECT_TRUE(read->fresh);
}

TEST_F(PolicyPath, WritableByOthersIsRefused) {
  const struct {
    const char* name;
    unsigned mode, good;
    const char* shown;
  } cases[] = {
      {"etc/dovecot/hosting.toml", 0664, 0644, "0664"},
      {"etc/dovecot/hosting.toml", 0646, 0600, "0646"},
      {"etc/dovecot", 0775, 0755, "0775"},
      {"etc/dovecot", 0757, 0700, "0757"},
      {"etc", 01777, 0755, "1777"},  // as /tmp: the sticky bit does not help
      {"etc", 02775, 02755, "2775"},
  };
  for (const auto& c : cases) {
    Mode(c.name, c.mode);
    EXPECT_EQ(Refused(file_), "expected " + (folder_ / c.name) +
                                  " to be writable by its owner only, not with mode " + c.shown);
    Mode(c.name, c.good);
    EXPECT_TRUE(ReadPolicyText(file_, folder_.rules()).ok()) << c.name;
  }
}

TEST_F(PolicyPath, TheSystemsOwnTemporaryFolderIsRefused) {
  struct stat status {};
  if (stat("/tmp", &status) != 0 || (status.st_mode & S_IWOTH) == 0) {
    GTEST_SKIP() << "/tmp is not writable by others here";
  }
  const auto read = ReadPolicyText("/tmp/hosting.toml", {getuid(), ""});
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), Code::kPermission);
}

TEST_F(PolicyPath, AnotherOwnerIsRefused) {
  if (getuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  for (const char* const name : {"etc/dovecot/hosting.toml", "etc/dovecot", "etc"}) {
    const std::string path = folder_ / name;
    ASSERT_EQ(chown(path.c_str(), 12345, 0), 0);
    EXPECT_EQ(Refused(file_), "expected " + path + " to be owned by root, not by uid 12345");
    EXPECT_TRUE(ReadPolicyText(file_, {12345, folder_.path()}).ok());
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  }
}

TEST_F(PolicyPath, SymbolicLinksAreLookedAtOneByOne) {
  fs::create_directories(folder_ / "real/deep");
  WriteFile(folder_ / "real/deep/p.toml", "ok");
  fs::create_symlink(folder_ / "real/deep", folder_ / "etc/absolute");
  fs::create_symlink("../real/./deep/../deep", folder_ / "etc/relative");
  fs::create_symlink("absolute/p.toml", folder_ / "etc/chain");
  for (const char* const name : {"etc/absolute/p.toml", "etc/relative/p.toml", "etc/chain"}) {
    const auto read = ReadPolicyText(folder_ / name, folder_.rules());
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(read->text, "ok");
  }
  Mode("real", 0777);  // only the way through the links is bad
  for (const char* const name : {"etc/absolute/p.toml", "etc/relative/p.toml", "etc/chain"}) {
    EXPECT_NE(Refused(folder_ / name).find("/real to be writable by its owner only"),
              std::string::npos);
  }
  fs::create_symlink("loop", folder_ / "etc/loop");
  const auto loop = ReadPolicyText(folder_ / "etc/loop", folder_.rules());
  ASSERT_FALSE(loop.ok());
  EXPECT_NE(loop.status().message().find("too many symbolic links"), std::string::npos);
}

TEST_F(PolicyPath, ALinkOfAnotherOwnerIsRefused) {
  if (getuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  fs::create_symlink("dovecot/hosting.toml", folder_ / "etc/link");
  EXPECT_TRUE(ReadPolicyText(folder_ / "etc/link", folder_.rules()).ok());
  ASSERT_EQ(lchown((folder_ / "etc/link").c_str(), 12345, 0), 0);
  EXPECT_NE(Refused(folder_ / "etc/link").find("/etc/link to be owned by root"), std::string::npos);
}

TEST_F(PolicyPath, OtherThingsAreNoPolicy) {
  ASSERT_EQ(mkfifo((folder_ / "etc/fifo").c_str(), 0600), 0);
  const struct {
    std::string path;
    Code code;
  } cases[] = {
      {"hosting.toml", Code::kInvalid},
      {"", Code::kInvalid},
      {folder_ / "etc", Code::kInvalid},
      {folder_ / "etc/fifo", Code::kInvalid},  // and does not wait for a writer
      {folder_ / "etc/nothing", Code::kNotFound},
      {folder_ / "etc/dovecot/hosting.toml/x", Code::kNotFound},
  };
  for (const auto& c : cases) {
    const auto read = ReadPolicyText(c.path, folder_.rules());
    ASSERT_FALSE(read.ok()) << c.path;
    EXPECT_EQ(read.status().code(), c.code) << c.path << ": " << read.status().message();
  }
}

TEST_F(PolicyPath, AHugeFileIsNotRead) {
  fs::resize_file(file_, kMaxPolicyFile + 1);  // a hole
  const auto read = ReadPolicyText(file_, folder_.rules());
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().message(), "expected a file of at most 64 MiB");
}

}  // namespace
}  // namespace hosting

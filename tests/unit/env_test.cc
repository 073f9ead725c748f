#include "storage/env.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <gtest/gtest.h>

#include "tests/unit/test_support.h"

namespace lbox {
namespace {

class EnvTest : public testing::Test {
 protected:
  Result<std::unique_ptr<File>> Create(const std::string& path, bool exclusive = true,
                                       uint32_t mode = 0600, int64_t gid = -1) {
    return env_.Create(path, exclusive, mode, gid);
  }
  static uint32_t ModeOf(const std::string& path) {
    struct stat st;
    EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
    return st.st_mode & 07777;
  }

  TempDir dir_;
  Env& env_ = *Env::Default();
};

TEST_F(EnvTest, WritesAndReadsBack) {
  auto file = Create(dir_ / "f");
  ASSERT_TRUE(file.ok());
  const std::string data = Incompressible(100000);
  ASSERT_TRUE((*file)->WriteAt(10, data.data(), data.size()).ok());
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_EQ((*file)->Size().value(), data.size() + 10);

  auto again = env_.OpenRead(dir_ / "f");
  ASSERT_TRUE(again.ok());
  std::string got(data.size(), '\0');
  EXPECT_EQ((*again)->ReadAt(10, got.data(), got.size()).value(), got.size());
  EXPECT_EQ(got, data);
  // A hole reads as zeros; only the end makes a read short.
  char start[10] = {1};
  EXPECT_EQ((*again)->ReadAt(0, start, 10).value(), 10u);
  EXPECT_EQ(start[0], 0);
  EXPECT_EQ((*again)->ReadAt(data.size(), got.data(), 100).value(), 10u);
  EXPECT_EQ((*again)->ReadAt(data.size() + 10, got.data(), 100).value(), 0u);
  EXPECT_EQ((*again)->ReadAt(1 << 30, got.data(), 100).value(), 0u);

  auto both = env_.OpenReadWrite(dir_ / "f");
  ASSERT_TRUE(both.ok());
  ASSERT_TRUE((*both)->WriteAt(0, "x", 1).ok());
  EXPECT_EQ((*again)->ReadAt(0, start, 1).value(), 1u);
  EXPECT_EQ(start[0], 'x');
}

TEST_F(EnvTest, DescriptorsAreCloseOnExec) {
  auto file = Create(dir_ / "f");
  ASSERT_TRUE(file.ok());
  EXPECT_NE(fcntl((*file)->descriptor(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(EnvTest, CreateSetsTheModeWhateverTheUmask) {
  const mode_t before = umask(077);
  const bool ok =
      Create(dir_ / "f", true, 0664).ok() && env_.MakeDirectory(dir_ / "d", 02770, -1).ok();
  umask(before);
  ASSERT_TRUE(ok);
  EXPECT_EQ(ModeOf(dir_ / "f"), 0664u);
  EXPECT_EQ(ModeOf(dir_ / "d"), 02770u);
}

TEST_F(EnvTest, CreateExclusiveOrNot) {
  WriteWholeFile(dir_ / "f", "content");
  chmod((dir_ / "f").c_str(), 0640);
  EXPECT_EQ(Create(dir_ / "f", true).status().code(), Code::kAborted);
  ASSERT_TRUE(Create(dir_ / "f", false).ok());
  EXPECT_EQ(ReadWholeFile(dir_ / "f"), "content");
  EXPECT_EQ(ModeOf(dir_ / "f"), 0640u);
  ASSERT_TRUE(Create(dir_ / "g", false).ok());
  EXPECT_EQ(ReadWholeFile(dir_ / "g"), "");
}

TEST_F(EnvTest, CreateSetsTheGroup) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  ASSERT_TRUE(Create(dir_ / "f", true, 0660, 12345).ok());
  ASSERT_TRUE(env_.MakeDirectory(dir_ / "d", 0770, 12345).ok());
  struct stat st;
  ASSERT_EQ(stat((dir_ / "f").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 12345u);
  EXPECT_EQ(st.st_mode & 0777, 0660u);
  ASSERT_EQ(stat((dir_ / "d").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 12345u);

  // Somebody who may not give that group gives the group nothing.
  chmod(dir_.path().c_str(), 0777);
  ASSERT_EQ(seteuid(65534), 0);
  const bool ok = Create(dir_ / "g", true, 0660, 12345).ok();
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_TRUE(ok);
  EXPECT_EQ(ModeOf(dir_ / "g"), 0600u);
}

TEST_F(EnvTest, MakeDirectoryTwice) {
  EXPECT_TRUE(env_.MakeDirectory(dir_ / "d", 0700, -1).ok());
  EXPECT_TRUE(env_.MakeDirectory(dir_ / "d", 0755, -1).ok());
  EXPECT_EQ(ModeOf(dir_ / "d"), 0700u);
  WriteWholeFile(dir_ / "f", "");
  EXPECT_EQ(env_.MakeDirectory(dir_ / "f", 0700, -1).code(), Code::kAborted);
  EXPECT_EQ(env_.MakeDirectory(dir_ / "no/d", 0700, -1).code(), Code::kNotFound);
}

TEST_F(EnvTest, RenameLinkUnlink) {
  WriteWholeFile(dir_ / "a", "1");
  ASSERT_TRUE(env_.Link(dir_ / "a", dir_ / "b").ok());
  EXPECT_EQ(env_.Link(dir_ / "a", dir_ / "b").code(), Code::kAborted);
  ASSERT_TRUE(env_.Rename(dir_ / "a", dir_ / "c").ok());
  EXPECT_EQ(env_.Stat(dir_ / "c")->links, 2u);
  EXPECT_EQ(env_.Stat(dir_ / "a").status().code(), Code::kNotFound);
  ASSERT_TRUE(env_.Unlink(dir_ / "b").ok());
  EXPECT_EQ(env_.Unlink(dir_ / "b").code(), Code::kNotFound);
  EXPECT_EQ(ReadWholeFile(dir_ / "c"), "1");
  EXPECT_TRUE(env_.SyncDirectory(dir_.path()).ok());
  EXPECT_EQ(env_.SyncDirectory(dir_ / "no").code(), Code::kNotFound);
}

TEST_F(EnvTest, Stat) {
  WriteWholeFile(dir_ / "f", std::string(5000, 'x'));
  struct stat st;
  ASSERT_EQ(stat((dir_ / "f").c_str(), &st), 0);
  const auto info = env_.Stat(dir_ / "f");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->size, 5000u);
  EXPECT_EQ(info->allocated, static_cast<uint64_t>(st.st_blocks) * 512);
  EXPECT_EQ(info->device, st.st_dev);
  EXPECT_EQ(info->inode, st.st_ino);
  EXPECT_EQ(info->uid, st.st_uid);
  EXPECT_EQ(info->links, 1u);
  EXPECT_FALSE(info->directory);
  EXPECT_TRUE(env_.Stat(dir_.path())->directory);
}

TEST_F(EnvTest, List) {
  WriteWholeFile(dir_ / "a", "");
  WriteWholeFile(dir_ / ".b", "");
  ASSERT_TRUE(env_.MakeDirectory(dir_ / "c", 0700, -1).ok());
  std::vector<std::string> names;
  ASSERT_TRUE(env_.List(dir_.path(), [&](const std::string& name) { names.push_back(name); }).ok());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{".b", "a", "c"}));
  EXPECT_EQ(env_.List(dir_ / "no", [](const std::string&) {}).code(), Code::kNotFound);
}

TEST_F(EnvTest, RefusesSymbolicLinksToFiles) {
  WriteWholeFile(dir_ / "f", "");
  std::filesystem::create_symlink(dir_ / "f", dir_ / "s");
  EXPECT_EQ(env_.OpenRead(dir_ / "s").status().code(), Code::kIo);
  EXPECT_EQ(env_.OpenReadWrite(dir_ / "s").status().code(), Code::kIo);
  EXPECT_EQ(Create(dir_ / "s", false).status().code(), Code::kIo);
}

TEST_F(EnvTest, MessagesNameTheCallThePathAndTheReason) {
  EXPECT_EQ(env_.OpenRead(dir_ / "no").status().message(),
            "open(" + dir_.path() + "/no) failed: No such file or directory");
  EXPECT_EQ(
      env_.Rename(dir_ / "x", dir_ / "y").message(),
      "rename(" + dir_.path() + "/x, " + dir_.path() + "/y) failed: No such file or directory");
  auto file = Create(dir_ / "f");
  ASSERT_TRUE(file.ok());
  auto reader = env_.OpenRead(dir_ / "f");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->WriteAt(0, "x", 1).message(),
            "write(" + dir_.path() + "/f) failed: Bad file descriptor");
}

TEST_F(EnvTest, NamesTheUserWhenPermissionIsMissing) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  WriteWholeFile(dir_ / "f", "");
  chmod((dir_ / "f").c_str(), 0600);
  chmod(dir_.path().c_str(), 0755);
  ASSERT_EQ(seteuid(65534), 0);
  const Status status = env_.OpenRead(dir_ / "f").status();
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(status.code(), Code::kPermission);
  EXPECT_EQ(status.message(), "open(" + dir_.path() + "/f) as uid 65534, gid " +
                                  std::to_string(getegid()) + " failed: Permission denied");
}

TEST_F(EnvTest, ContinuesAShortWriteUntilTheErrorBehindIt) {
  // The first write is cut off at the limit, the next one fails: as on a disk that fills up.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{50000, before.rlim_max};
  auto file = Create(dir_ / "f");
  ASSERT_TRUE(file.ok());
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string data(100000, 'x');
  const Status status = (*file)->WriteAt(0, data.data(), data.size());
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_EQ(status.message(), "write(" + dir_.path() + "/f) failed: File too large");
  EXPECT_EQ((*file)->Size().value(), 50000u);
}

}  // namespace
}  // namespace lbox

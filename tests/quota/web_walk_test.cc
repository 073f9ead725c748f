// What a walk counts, beside du, on trees that stand still. web_hostile_test.cc has those that do
// not.
#include "quota/web_walk.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/quota/web_tree.h"

namespace hosting {
namespace {

constexpr uint32_t kMailUid = 6543;
constexpr uint32_t kCustomer = 6001;

TEST(WebWalk, CountsFilesAndDirectoriesAsDuDoes) {
  Tree tree("/tmp");
  tree.Folder("a");
  tree.Folder("a/b");
  tree.File("a/one", 1);
  tree.File("a/b/large", 1'000'000);
  tree.File("a/b/empty", 0);
  const WebWalkResult result = Walked(tree.path());
  EXPECT_TRUE(result.complete) << result.problem;
  EXPECT_EQ(result.problem, "");
  EXPECT_EQ(result.files, 3U);
  EXPECT_EQ(result.directories, 3U);
  EXPECT_EQ(result.apparent, 1'000'001U);
  EXPECT_EQ(result.allocated, DiskUsage(tree.path()));
  EXPECT_GE(result.allocated, 1'000'001U);
}

TEST(WebWalk, AnEmptyRoot) {
  Tree tree;
  const WebWalkResult result = Walked(tree.path());
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.files, 0U);
  EXPECT_EQ(result.directories, 1U);
  EXPECT_EQ(result.allocated, DiskUsage(tree.path()));
}

TEST(WebWalk, AFileWithSeveralNamesCountsOnceInAllRootsOfAnAccount) {
  Tree tree;
  for (const char* root : {"one", "two"}) {
    tree.Folder(root);
  }
  const std::string file = tree.File("one/file", 500'000);
  ASSERT_EQ(link(file.c_str(), (tree / "one/again").c_str()), 0);
  ASSERT_EQ(link(file.c_str(), (tree / "two/again").c_str()), 0);
  SeenFiles seen(100);
  const WebWalkResult one = Walked(tree / "one", {}, 1000, &seen);
  const WebWalkResult two = Walked(tree / "two", {}, 1000, &seen);
  EXPECT_EQ(one.files, 1U);
  EXPECT_EQ(one.hard_links, 1U);
  EXPECT_EQ(one.allocated, DiskUsage(tree / "one"));
  EXPECT_EQ(two.files, 0U);
  EXPECT_EQ(two.hard_links, 1U);
  EXPECT_LT(two.allocated, 500'000U);
  // Another account's walk counts it for that account.
  EXPECT_GE(Walked(tree / "two").allocated, 500'000U);
}

TEST(WebWalk, SparseFilesCountByTheirBlocks) {
  Tree tree;
  ASSERT_EQ(truncate(tree.File("sparse", 1).c_str(), 1 << 30), 0);
  const WebWalkResult result = Walked(tree.path());
  EXPECT_EQ(result.apparent, 1U << 30);
  EXPECT_LT(result.allocated, 1U << 20);
  EXPECT_EQ(result.allocated, DiskUsage(tree.path()));
}

TEST(WebWalk, LinksAndSpecialFilesCountByTheirOwnBlocksAndAreNotOpened) {
  Tree outside;
  outside.File("large", 2'000'000);
  Tree tree;
  ASSERT_EQ(symlink(outside.path().c_str(), (tree / "folder").c_str()), 0);
  ASSERT_EQ(symlink((outside / "large").c_str(), (tree / "file").c_str()), 0);
  // Too long to be kept in the inode: it has a block.
  ASSERT_EQ(symlink(std::string(2000, 'x').c_str(), (tree / "nowhere").c_str()), 0);
  ASSERT_EQ(mkfifo((tree / "fifo").c_str(), 0600), 0);
  if (IsRoot()) {
    ASSERT_EQ(mknod((tree / "zero").c_str(), S_IFCHR | 0600, makedev(1, 5)), 0);
  }
  const WebWalkResult result = Walked(tree.path());
  EXPECT_TRUE(result.complete) << result.problem;
  EXPECT_EQ(result.directories, 1U);
  EXPECT_EQ(result.files, IsRoot() ? 5U : 4U);
  EXPECT_LT(result.allocated, 100'000U);
  EXPECT_EQ(result.allocated, DiskUsage(tree.path()));
}

TEST(WebWalk, ARootReachedThroughALinkIsNotCounted) {
  Tree tree;
  tree.Folder("real");
  tree.Folder("real/root");
  tree.File("real/root/file", 5000);
  ASSERT_EQ(symlink("real", (tree / "link").c_str()), 0);
  ASSERT_EQ(symlink("real/root", (tree / "last").c_str()), 0);
  const struct {
    std::string root;
    bool complete;
  } cases[] = {
      {tree / "real/root", true},     {tree / "real//root/", true},
      {tree / "link/root", false},    {tree / "last", false},
      {tree / "last/", false},        {tree / "real/root/file", false},
      {tree / "nothing", false},      {tree / "real/../real/root", false},
      {tree / "real/./root", false},  {"", false},
      {tree.path().substr(1), false}, {std::string("/tmp\0/x", 7), false},
  };
  for (const auto& c : cases) {
    for (const Resolve resolve : {Resolve::kBest, Resolve::kByComponent}) {
      WebWalkOptions options;
      options.resolve = resolve;
      const WebWalkResult result = Walked(c.root, options);
      EXPECT_EQ(result.complete, c.complete) << c.root << ": " << result.problem;
      EXPECT_EQ(result.problem.empty(), c.complete);
      EXPECT_EQ(result.files, c.complete ? 1U : 0U) << c.root;
    }
  }
  EXPECT_EQ(Walked(tree / "last").problem,
            tree / "last" + ": is, or is reached through, a symbolic link or a file");
  EXPECT_EQ(Walked(tree / "nothing").problem, tree / "nothing" + ": No such file or directory");
}

TEST(WebWalk, TheRootMustBelongToTheAccountsUid) {
  Tree tree;
  tree.File("file", 10);
  WebWalkOptions options;
  options.owner = geteuid();
  EXPECT_TRUE(Walked(tree.path(), options).complete);
  options.owner = geteuid() + 1;
  const WebWalkResult result = Walked(tree.path(), options);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.allocated, 0U);
  EXPECT_EQ(result.problem, tree.path() + ": belongs to uid " + std::to_string(geteuid()) +
                                ", not to the account's " + std::to_string(geteuid() + 1));
}

TEST(WebWalk, OtherMountsDoNotCount) {
  if (!IsRoot()) {
    GTEST_SKIP() << "mounting needs root";
  }
  Tree outside;
  outside.File("large", 3'000'000);
  Tree tree;
  tree.Folder("tmpfs");
  tree.Folder("bind");
  const std::string file = tree.File("file", 10);
  tree.File("under", 10);
  tree.Folder("real");
  InChild([&] {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("", "/", "", MS_REC | MS_PRIVATE, nullptr), 0);
    const uint64_t before = Walked(tree.path()).allocated;
    const uint64_t mount_points = DiskUsage(tree / "tmpfs") + DiskUsage(tree / "bind");
    ASSERT_EQ(mount("tmpfs", (tree / "tmpfs").c_str(), "tmpfs", 0, nullptr), 0);
    tree.File("tmpfs/large", 5'000'000);
    // The same file system: only the mount tells that it is not of this root.
    ASSERT_EQ(mount(outside.path().c_str(), (tree / "bind").c_str(), "", MS_BIND, nullptr), 0);
    ASSERT_EQ(mount((outside / "large").c_str(), file.c_str(), "", MS_BIND, nullptr), 0);
    const WebWalkResult result = Walked(tree.path());
    EXPECT_TRUE(result.complete) << result.problem;
    EXPECT_EQ(result.left_out, 3U);
    EXPECT_EQ(result.allocated, before - mount_points - 4096);
    // A root that is itself a mount point counts.
    EXPECT_GE(Walked(tree / "tmpfs").allocated, 5'000'000U);
    EXPECT_GE(Walked(tree / "bind").allocated, 3'000'000U);
  });
}

TEST(WebWalk, GivenFoldersAreLeftOut) {
  Tree tree;
  Tree outside;
  for (const char* name : {"mail", "site", "site/snapshots", "site/mail"}) {
    tree.Folder(name);
    tree.File(std::string(name) + "/file", 100'000);
  }
  ASSERT_EQ(symlink((tree / "site").c_str(), (tree / "link").c_str()), 0);
  WebWalkOptions options;
  // Relative to the root or absolute; what is not there, and links, leave nothing out.
  options.exclude = {
      "mail", tree / "site/snapshots", "nothing", outside.path(), "link", "", "../", tree.path(),
      "."};
  const WebWalkResult result = Walked(tree.path(), options);
  EXPECT_TRUE(result.complete) << result.problem;
  EXPECT_EQ(result.left_out, 2U);
  EXPECT_EQ(result.files, 3U);  // site/file, site/mail/file, link
  EXPECT_EQ(result.allocated,
            std::stoull(Output("du -sx --block-size=1 --exclude=" + tree / "mail" +
                               " --exclude=snapshots " + tree.path())));
}

TEST(WebWalk, MailStoresOfAMailUidAreLeftOutAndNobodyElsesAre) {
  if (!IsRoot()) {
    GTEST_SKIP() << "changing owners needs root";
  }
  Tree tree;
  const struct {
    const char* name;
    std::vector<const char*> folders;
    std::vector<const char*> files;
    bool store;
  } kinds[] = {
      {"lbox", {"p", "l", "tmp"}, {"CURRENT", "lock", "index.1"}, true},
      {"maildir", {"cur", "new", "tmp"}, {}, true},
      {"sdbox", {"dbox-Mails"}, {}, true},
      {"mdbox", {"m"}, {"dovecot.map.index.log"}, true},
      {"indexes", {}, {"dovecot.index.log"}, true},
      {"lists", {}, {"dovecot.list.index.log"}, true},
      {"half", {"cur", "new"}, {"CURRENT", "lock"}, false},
      {"plain", {"x"}, {"dovecot.conf"}, false},
  };
  for (const uint32_t owner : {kMailUid, kCustomer}) {
    for (const auto& kind : kinds) {
      const std::string base = kind.name + std::to_string(owner);
      tree.Folder(base);
      for (const char* folder : kind.folders) {
        tree.Folder(base + "/" + folder);
      }
      for (const char* file : kind.files) {
        tree.File(base + "/" + file, 0);
      }
      tree.File(base + "/body", 100'000);
      Output("chown -R " + std::to_string(owner) + " " + tree / base);
      WebWalkOptions options;
      options.mail_uids = {1, kMailUid};
      const WebWalkResult result = Walked(tree.path(), options);
      EXPECT_TRUE(result.complete) << result.problem;
      EXPECT_EQ(result.left_out, kind.store && owner == kMailUid ? 1U : 0U) << base;
      EXPECT_EQ(result.allocated > 100'000, !(kind.store && owner == kMailUid)) << base;
      Output("rm -r " + tree / base);
    }
  }
}

TEST(WebWalk, EachBoundMakesAResultThatIsNotComplete) {
  Tree tree;
  for (int i = 0; i < 20; ++i) {
    const std::string file = tree.File("file" + std::to_string(i), 10);
    ASSERT_EQ(link(file.c_str(), (file + ".link").c_str()), 0);
    tree.Folder("folder" + std::to_string(i));
  }
  tree.Folder("folder0/1");
  tree.Folder("folder0/1/2");
  EXPECT_TRUE(Walked(tree.path()).complete);

  const auto problem = [&](const WebWalkOptions& options) {
    const WebWalkResult result = Walked(tree.path(), options, 1);
    EXPECT_EQ(result.complete, result.problem.empty());
    return result.problem.substr(std::min(result.problem.size(), tree.path().size()));
  };
  WebWalkOptions depth;
  depth.max_depth = 3;
  EXPECT_EQ(problem(depth), "");
  depth.max_depth = 2;
  EXPECT_EQ(problem(depth), "/folder0/1/2: lies deeper than 2 directories");
  depth.max_depth = 0;
  EXPECT_NE(problem(depth).find(": lies deeper than 0 directories"), std::string::npos);

  WebWalkOptions entries;
  entries.max_entries = 62 + 22;  // each folder counts when met and when opened
  EXPECT_EQ(problem(entries), "");
  entries.max_entries = 62 + 21;
  EXPECT_NE(problem(entries).find(": more than 83 entries"), std::string::npos);

  WebWalkOptions pending;
  pending.max_pending = 100;
  EXPECT_EQ(problem(pending), ": too many directories beside each other");

  SeenFiles few(19);
  const WebWalkResult links = Walked(tree.path(), {}, 1000, &few);
  EXPECT_EQ(links.problem, tree.path() + ": more than 19 files with several names");
  EXPECT_FALSE(links.complete);
}

TEST(WebWalk, TimeIsTheCallers) {
  Tree tree;
  for (int i = 0; i < 10; ++i) {
    tree.File("file" + std::to_string(i), 10);
  }
  WebWalkOptions options;
  options.max_time = std::chrono::seconds(10);
  for (const int seconds : {1, 2}) {
    SeenFiles seen(10);
    WebWalk walk(tree.path(), options, &seen);
    WalkTime now{};
    while (!walk.Step(1, now)) {
      now += std::chrono::milliseconds(1000 * seconds);
    }
    EXPECT_EQ(walk.result().complete, seconds == 1) << walk.result().problem;
    EXPECT_EQ(walk.result().milliseconds, seconds == 1 ? 10'000U : 12'000U);
    if (seconds == 2) {
      EXPECT_EQ(walk.result().problem, tree.path() + ": took longer than 10 s");
    }
  }
}

size_t OpenFiles() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

// A chain of directories, each with a file and side branches made before and after the next one, so
// that a walk has to come back to each level from below.
void MakeDeep(const Tree& tree, int levels, bool branches) {
  int at = open(tree.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < levels; ++i) {
    if (branches) {
      ASSERT_EQ(mkdirat(at, "before", 0755), 0);
    }
    ASSERT_EQ(mkdirat(at, "d", 0755), 0);
    if (branches) {
      ASSERT_EQ(mkdirat(at, "after", 0755), 0);
      for (const char* name : {"before/x", "after/x", "d/x"}) {
        close(openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      }
    }
    const int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_GE(next, 0) << i;
    close(at);
    at = next;
  }
  close(at);
}

TEST(WebWalk, ATwoThousandLevelsDeepTree) {
  const struct {
    int levels;
    bool branches;
  } cases[] = {{2000, false}, {300, true}};
  for (const auto& c : cases) {
    Tree tree;
    MakeDeep(tree, c.levels, c.branches);
    SeenFiles seen(10);
    WebWalk walk(tree.path(), {}, &seen);
    const size_t before = OpenFiles();
    size_t most = before;
    while (!walk.Step(10, WalkTime{})) {
      most = std::max(most, OpenFiles());
    }
    EXPECT_TRUE(walk.result().complete) << walk.result().problem;
    EXPECT_EQ(walk.result().allocated, DiskUsage(tree.path()));
    EXPECT_EQ(walk.result().directories, (c.branches ? 3U : 1U) * c.levels + 1);
    EXPECT_EQ(walk.result().files, (c.branches ? 3U : 0U) * c.levels);
    EXPECT_LE(most - before, WebWalk::kOpenDirectories + 2);
    EXPECT_GE(most - before, WebWalk::kOpenDirectories - 10) << "did not go deep";
    EXPECT_EQ(OpenFiles(), before);
    WebWalkOptions shallow;
    shallow.max_depth = static_cast<uint32_t>(c.levels - 1);
    EXPECT_FALSE(Walked(tree.path(), shallow).complete);
  }
}

TEST(WebWalk, AHundredThousandNamesInADirectory) {
  Tree tree;
  const int at = open(tree.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 100'000; ++i) {
    const std::string name = "a rather long name, to fill many buffers " + std::to_string(i);
    const int fd = openat(at, name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    close(fd);
  }
  close(at);
  const WebWalkResult result = Walked(tree.path());
  EXPECT_TRUE(result.complete) << result.problem;
  EXPECT_EQ(result.files, 100'000U);
  EXPECT_EQ(result.allocated, DiskUsage(tree.path()));
}

TEST(WebWalk, AnyStepsGiveTheSameResult) {
  Tree tree;
  MakeDeep(tree, 5, true);
  const WebWalkResult whole = Walked(tree.path(), {}, 1'000'000);
  for (const uint64_t step : {0, 1, 2, 7}) {
    const WebWalkResult result = Walked(tree.path(), {}, step);
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(result.allocated, whole.allocated);
    EXPECT_EQ(result.files, whole.files);
  }
}

TEST(WebWalk, TheOwnersAccessTimesStay) {
  Tree tree;
  const std::string folder = tree.Folder("folder");
  const struct timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, folder.c_str(), old, 0), 0);
  Walked(tree.path());
  struct stat s;
  ASSERT_EQ(stat(folder.c_str(), &s), 0);
  EXPECT_EQ(s.st_atime, 1'000'000'000);
}

// Files, folders, links of both kinds, sparse files and special ones.
void MakeRandom(const Tree& tree, uint32_t seed) {
  std::mt19937 random(seed);
  const auto up_to = [&](uint32_t n) { return random() % n; };
  std::vector<std::string> folders = {"."};
  std::vector<std::string> files;
  for (int i = 0; i < 150; ++i) {
    const std::string name = folders[up_to(folders.size())] + "/" + std::to_string(i);
    const std::string path = tree / name;
    switch (up_to(10)) {
      case 0:
      case 1:
      case 2:
        folders.push_back(name);
        ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
        break;
      case 3:
        ASSERT_EQ(symlink(std::string(1 + up_to(200), 'l').c_str(), path.c_str()), 0);
        break;
      case 4:
        ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
        break;
      case 5:
        ASSERT_TRUE(files.empty() || link(files[up_to(files.size())].c_str(), path.c_str()) == 0);
        break;
      case 6:
        ASSERT_EQ(truncate(tree.File(name, up_to(100)).c_str(), up_to(10'000'000)), 0);
        break;
      default:
        files.push_back(tree.File(name, up_to(30'000)));
    }
  }
}

TEST(WebWalk, EqualsDuOnRandomTrees) {
  const char* rounds = getenv("LBOX_WEB_TREES");
  for (int seed = 0; seed < (rounds != nullptr ? atoi(rounds) : 6); ++seed) {
    Tree tree(seed % 3 == 0 ? "/tmp" : QuickFolder());
    MakeRandom(tree, seed);
    const WebWalkResult result = Walked(tree.path(), {}, 13);
    EXPECT_TRUE(result.complete) << result.problem;
    EXPECT_EQ(result.allocated, DiskUsage(tree.path())) << "seed " << seed;
    EXPECT_EQ(
        result.files + result.directories,
        std::stoull(Output("find " + tree.path() + " -xdev -printf '%i\\n' | sort -u | wc -l")))
        << "seed " << seed;
  }
}

TEST(Printable, ShowsAnyTextInBoundedAscii) {
  EXPECT_EQ(Printable("plain/text", 100), "plain/text");
  EXPECT_EQ(Printable("a\nb\tc\\d\x7f\xc3\xa9", 100), "a\\x0ab\\x09c\\x5cd\\x7f\\xc3\\xa9");
  EXPECT_EQ(Printable("0123456789abcdef", 16), "0123456789abcdef");
  EXPECT_EQ(Printable("0123456789abcdefg", 16), "012345...bcdefg");
  for (const size_t most : {16, 17, 40, 240}) {
    for (const std::string& text :
         {std::string(5000, '\n'), std::string(5000, 'a') + "\n", "\n" + std::string(5000, 'a')}) {
      EXPECT_LE(Printable(text, most).size(), most);
      EXPECT_GE(Printable(text, most).size(), most - 10);
    }
  }
}

TEST(SeenFiles, RemembersUpToItsLimit) {
  SeenFiles seen(5000);
  for (uint64_t i = 1; i <= 5000; ++i) {
    ASSERT_EQ(seen.Insert({i % 3, i}), SeenFiles::Answer::kNew);
  }
  EXPECT_EQ(seen.size(), 5000U);
  EXPECT_EQ(seen.Insert({1, 6000}), SeenFiles::Answer::kFull);
  for (uint64_t i = 1; i <= 5000; ++i) {
    ASSERT_EQ(seen.Insert({i % 3, i}), SeenFiles::Answer::kSeen);
  }
  EXPECT_EQ(seen.Insert({(5000 % 3) + 1, 5000}), SeenFiles::Answer::kFull);  // of another device
}

}  // namespace
}  // namespace hosting

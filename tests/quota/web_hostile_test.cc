// Walks of trees that somebody changes meanwhile, that may not be read, or that overlap; and the
// privileges that a walk has.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>

#include "quota/web_privileges.h"
#include "quota/web_roots.h"
#include "tests/quota/web_tree.h"

namespace hosting {
namespace {

constexpr uint32_t kCustomer = 6001;
constexpr uint32_t kMeter = 6002;
constexpr uint64_t kSecret = 8 << 20;

void ChangeTo(uint32_t uid) {
  ASSERT_EQ(setresgid(uid, uid, uid), 0);
  ASSERT_EQ(setresuid(uid, uid, uid), 0);
}

// Does something again and again, in a thread of its own, until it is destroyed.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<void()> deed)
      : thread_([this, deed = std::move(deed)] {
          while (!end_) {
            deed();
            ++rounds_;
          }
        }) {}
  ~Meanwhile() {
    end_ = true;
    thread_.join();
  }
  int rounds() const { return rounds_; }

 private:
  std::atomic<bool> end_ = false;
  std::atomic<int> rounds_ = 0;
  std::thread thread_;
};

bool Exchange(const std::string& a, const std::string& b) {
  return renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

// A component of the root's path, or a folder below it, is now a directory and now a link to a
// place with a large file. The walk never gets there.
TEST(HostileTree, ALinkSwappedInMidWalkLeadsNowhere) {
  Tree outside;
  outside.Folder("root");
  outside.Folder("root/folder");
  outside.File("root/large", kSecret);
  outside.File("root/folder/large", kSecret);
  Tree tree;
  tree.Folder("a");
  tree.Folder("a/root");
  tree.Folder("a/root/folder");
  tree.File("a/root/folder/small", 10);
  const struct {
    std::string place, target;
  } cases[] = {
      {tree / "a", outside.path()},
      {tree / "a/root", outside / "root"},
      {tree / "a/root/folder", outside / "root/folder"},
  };
  for (const auto& c : cases) {
    for (const Resolve resolve : {Resolve::kBest, Resolve::kByComponent}) {
      const std::string other = tree / "other";
      ASSERT_EQ(symlink(c.target.c_str(), other.c_str()), 0);
      WebWalkOptions options;
      options.resolve = resolve;
      int with_file = 0, without = 0;
      {
        const Meanwhile swapping([&] { ASSERT_TRUE(Exchange(c.place, other)); });
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        for (int i = 0;
             (i < 300 || with_file == 0 || without == 0) && std::chrono::steady_clock::now() < end;
             ++i) {
          const WebWalkResult result = Walked(tree / "a/root", options, 1);
          ASSERT_LT(result.allocated, kSecret) << c.place;
          const bool found = result.complete && result.directories == 2;
          ++(found ? with_file : without);
        }
      }
      EXPECT_GT(with_file, 0) << c.place;
      EXPECT_GT(without, 0) << c.place;
      struct stat s;
      ASSERT_EQ(lstat(c.place.c_str(), &s), 0);
      if (S_ISLNK(s.st_mode)) {
        ASSERT_TRUE(Exchange(c.place, other));
      }
      ASSERT_EQ(unlink(other.c_str()), 0);
    }
  }
}

TEST(HostileTree, ALinkInPlaceOfADirectoryThatWasSeenIsNotFollowed) {
  Tree outside;
  outside.File("large", kSecret);
  Tree tree;
  tree.Folder("folder");
  SeenFiles seen(10);
  WebWalk walk(tree.path(), {}, &seen);
  ASSERT_FALSE(walk.Step(1, WalkTime{}));  // has seen the folder, not opened it
  ASSERT_EQ(rmdir((tree / "folder").c_str()), 0);
  ASSERT_EQ(symlink(outside.path().c_str(), (tree / "folder").c_str()), 0);
  while (!walk.Step(1, WalkTime{})) {
  }
  EXPECT_TRUE(walk.result().complete) << walk.result().problem;
  EXPECT_EQ(walk.result().vanished, 1U);
  EXPECT_EQ(walk.result().directories, 1U);
  EXPECT_LT(walk.result().allocated, kSecret);
}

TEST(HostileTree, WhatVanishesMeanwhileIsNoProblem) {
  Tree tree;
  const auto fill = [&](int from) {
    for (int i = from; i < from + 20; ++i) {
      const std::string name = tree / std::to_string(i);
      mkdir(name.c_str(), 0755);
      for (const char* file : {"/1", "/2", "/3"}) {
        close(open((name + file).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      }
    }
  };
  const auto empty = [&](int from) {
    for (int i = from; i < from + 20; ++i) {
      const std::string name = tree / std::to_string(i);
      for (const char* file : {"/1", "/2", "/3", ""}) {
        remove((name + file).c_str());
      }
    }
  };
  uint64_t vanished = 0;
  fill(100);
  {
    const Meanwhile changing([&] {
      fill(0);
      empty(0);
    });
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (int i = 0; i < 200 || (vanished < 20 && std::chrono::steady_clock::now() < end); ++i) {
      const WebWalkResult result = Walked(tree.path(), {}, 1);
      ASSERT_TRUE(result.complete) << result.problem;
      ASSERT_GE(result.files, 60U);  // what stands still
      vanished += result.vanished;
    }
  }
  EXPECT_GE(vanished, 20U) << "the race did not hit";
}

TEST(HostileTree, ARootReplacedMidWalkIsNotComplete) {
  for (const bool replaced : {true, false}) {
    Tree tree;
    tree.Folder("root");
    tree.Folder("new");
    for (int i = 0; i < 10; ++i) {
      tree.File("root/" + std::to_string(i), 10);
    }
    SeenFiles seen(10);
    WebWalk walk(tree / "root", {}, &seen);
    ASSERT_FALSE(walk.Step(3, WalkTime{}));
    ASSERT_EQ(rename((tree / "root").c_str(), (tree / "old").c_str()), 0);
    if (replaced) {
      ASSERT_EQ(rename((tree / "new").c_str(), (tree / "root").c_str()), 0);
    }
    while (!walk.Step(3, WalkTime{})) {
    }
    EXPECT_FALSE(walk.result().complete);
    EXPECT_EQ(walk.result().problem,
              tree / "root" + ": was removed or replaced while it was counted");
  }
}

// A level far above the one that the walk is in has no descriptor; it is found again from below,
// where it may not be any more.
TEST(HostileTree, DirectoriesMovedAwayFromUnderADeepWalk) {
  const struct {
    std::string from, to, problem;
  } cases[] = {
      // The whole branch, with all that is above the walk: it goes on in it.
      {"top", "elsewhere/top", ""},
      // Part of it: the levels above are not above any more.
      {"DEEP", "elsewhere/deep", ": was moved while it was counted"},
  };
  for (const auto& c : cases) {
    Tree tree;
    tree.Folder("elsewhere");
    tree.Folder("top");
    std::string deep;  // the 20th level, of one of the branches
    for (const char* branch : {"top/first", "top/second"}) {
      std::string name = branch;
      tree.Folder(name);
      for (int i = 0; i < 100; ++i) {
        name += "/d";
        tree.Folder(name);
      }
    }
    SeenFiles seen(10);
    WebWalk walk(tree.path(), {}, &seen);
    while (walk.result().directories < 90) {
      ASSERT_FALSE(walk.Step(1, WalkTime{}));
    }
    const bool in_first = walk.Where().find("/first/") != std::string::npos;
    deep = std::string(in_first ? "top/first" : "top/second") + "/d/d/d/d/d/d/d/d/d/d";
    const std::string from = c.from == "DEEP" ? deep : c.from;
    ASSERT_EQ(rename((tree / from).c_str(), (tree / c.to).c_str()), 0);
    while (!walk.Step(1, WalkTime{})) {
    }
    EXPECT_EQ(walk.result().complete, c.problem.empty()) << walk.result().problem;
    if (c.problem.empty()) {
      // "elsewhere" had been read, or it is met again there; nothing is lost.
      EXPECT_GE(walk.result().directories, 205U);
    } else {
      EXPECT_EQ(walk.result().problem, tree / deep + c.problem);
    }
  }
}

const char kStrange[] = "a\nb\x1b[31m\xc3\xa9\xff\\x";

TEST(HostileTree, StrangeNamesAreCountedAndShownSafely) {
  Tree tree;
  tree.Folder(kStrange);
  tree.File(std::string(kStrange) + "/" + kStrange, 10);
  tree.File("-rf", 10);
  tree.File(std::string(255, '\n'), 10);
  const WebWalkResult result = Walked(tree.path());
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.allocated, DiskUsage(tree.path()));
  WebWalkOptions shallow;
  shallow.max_depth = 0;
  EXPECT_EQ(Walked(tree.path(), shallow).problem,
            tree / "a\\x0ab\\x1b[31m\\xc3\\xa9\\xff\\x5cx: lies deeper than 0 directories");
  tree.Folder(std::string(255, '\t'));
  tree.Folder(std::string(255, '\t') + "/" + std::string(255, '\t'));
  ASSERT_EQ(rmdir((tree.Folder("x")).c_str()), 0);
  shallow.max_depth = 1;
  const std::string problem = Walked(tree.path(), shallow).problem;
  EXPECT_LE(problem.size(), WebWalk::kProblemBytes);
  EXPECT_NE(problem.find("...\\x09"), std::string::npos) << problem;
  EXPECT_NE(problem.find(": lies deeper than 1 directories"), std::string::npos) << problem;
}

// A root of a customer, with a folder that nobody else may read and one that nobody may search.
class Denied {
 public:
  Denied() {
    for (const char* name : {"closed", "unsearchable", "open"}) {
      tree.Folder(name);
      tree.File(std::string(name) + "/file", 50'000);
    }
    EXPECT_EQ(chmod((tree / "closed").c_str(), 0700), 0);
    EXPECT_EQ(chmod((tree / "unsearchable").c_str(), 0744), 0);
    Output("chown -R " + std::to_string(kCustomer) + " " + tree.path());
  }
  Tree tree;
};

TEST(Privileges, WithoutTheCapabilityADeniedDirectoryMakesAPartialResult) {
  if (!IsRoot()) {
    GTEST_SKIP() << "other uids need root";
  }
  Denied denied;
  InChild([&] {
    ChangeTo(kMeter);
    const WebWalkResult result = Walked(denied.tree.path());
    EXPECT_FALSE(result.complete);
    EXPECT_TRUE(result.problem == denied.tree / "closed: Permission denied" ||
                result.problem == denied.tree / "unsearchable/file: Permission denied")
        << result.problem;
    // What could be read is in the figure.
    EXPECT_GE(result.allocated, 50'000U);
  });
}

std::string StatusLine(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(name + ":", 0) == 0) {
      std::istringstream words(line.substr(name.size() + 1));
      std::string all, word;
      while (words >> word) {
        all += (all.empty() ? "" : " ") + word;
      }
      return all;
    }
  }
  return "none";
}

TEST(Privileges, ReadingAnyDirectoryIsAllThatIsLeft) {
  if (!IsRoot()) {
    GTEST_SKIP() << "other uids need root";
  }
  Denied denied;
  InChild([&] {
    const Status status = KeepReadingOnly(kMeter, kMeter);
    ASSERT_TRUE(status.ok()) << status.message();
    RunInBackground();
    const std::string uid = std::to_string(kMeter);
    const struct {
      const char *name, *value;
    } lines[] = {
        {"CapInh", "0000000000000000"},
        {"CapPrm", "0000000000000004"},
        {"CapEff", "0000000000000004"},
        {"CapBnd", "0000000000000004"},
        {"CapAmb", "0000000000000000"},
        {"NoNewPrivs", "1"},
        {"Groups", ""},
    };
    for (const auto& line : lines) {
      EXPECT_EQ(StatusLine(line.name), line.value) << line.name;
    }
    EXPECT_EQ(StatusLine("Uid"), uid + " " + uid + " " + uid + " " + uid);
    EXPECT_EQ(StatusLine("Gid"), uid + " " + uid + " " + uid + " " + uid);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
    EXPECT_EQ(syscall(SYS_ioprio_get, 1, 0) >> 13, 3);
    EXPECT_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);

    const WebWalkResult result = Walked(denied.tree.path());
    EXPECT_TRUE(result.complete) << result.problem;
    EXPECT_EQ(result.files, 3U);
    // Neither writing, nor becoming anybody.
    EXPECT_LT(open((denied.tree / "open/file").c_str(), O_WRONLY | O_CLOEXEC), 0);
    EXPECT_NE(mkdir((denied.tree / "open/new").c_str(), 0700), 0);
    EXPECT_NE(setresuid(0, 0, 0), 0);
    EXPECT_NE(setresuid(kCustomer, kCustomer, kCustomer), 0);
    EXPECT_NE(chown((denied.tree / "open").c_str(), kMeter, kMeter), 0);
  });
}

TEST(Privileges, NothingElseWillDo) {
  if (!IsRoot()) {
    GTEST_SKIP() << "other uids need root";
  }
  InChild([] { EXPECT_EQ(KeepReadingOnly(0, 0).code(), Code::kInvalid); });
  InChild([] {
    ChangeTo(kMeter);
    EXPECT_EQ(KeepReadingOnly(kMeter, kMeter).code(), Code::kPermission);  // no capability
  });
  InChild([] {
    ChangeTo(kMeter);
    EXPECT_EQ(KeepReadingOnly(kCustomer, kCustomer).code(), Code::kPermission);
  });
}

Policy TwoAccounts(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  Policy policy;
  policy.accounts.resize(2);
  policy.accounts[0].name = "a.example";
  policy.accounts[0].web_roots = a;
  policy.accounts[1].name = "b.example";
  policy.accounts[1].web_roots = b;
  return policy;
}

WebWalkResult WalkedAs(const std::string& account, const std::string& root,
                       const RootIndex& index) {
  WebWalkOptions options;
  options.account = account;
  options.roots = &index;
  return Walked(root, options);
}

TEST(Overlap, NestedRootsOfAnAccountCountOnceTogether) {
  Tree tree;
  tree.Folder("root");
  tree.Folder("root/inner");
  tree.File("root/file", 50'000);
  tree.File("root/inner/file", 50'000);
  const RootIndex index =
      RootIndex::Of(TwoAccounts({tree / "root/inner", tree / "root", tree / "missing"}, {}));
  const WebWalkResult outer = WalkedAs("a.example", tree / "root", index);
  const WebWalkResult inner = WalkedAs("a.example", tree / "root/inner", index);
  EXPECT_TRUE(outer.complete) << outer.problem;
  EXPECT_TRUE(inner.complete) << inner.problem;
  EXPECT_EQ(outer.left_out, 1U);
  EXPECT_EQ(outer.allocated + inner.allocated, DiskUsage(tree / "root"));
}

TEST(Overlap, RootsOfTwoAccountsThatNestAreRefused) {
  Tree tree;
  tree.Folder("root");
  tree.Folder("root/folder");
  tree.Folder("root/folder/inner");
  tree.File("root/folder/inner/file", 50'000);
  const std::string outer = tree / "root", inner = tree / "root/folder/inner";
  const RootIndex index = RootIndex::Of(TwoAccounts({outer}, {inner}));
  const WebWalkResult a = WalkedAs("a.example", outer, index);
  EXPECT_FALSE(a.complete);
  EXPECT_EQ(a.problem, inner + ": is the web root " + inner + " of account b.example as well");
  EXPECT_LT(a.allocated, 50'000U);
  const WebWalkResult b = WalkedAs("b.example", inner, index);
  EXPECT_FALSE(b.complete);
  EXPECT_EQ(b.problem, inner + ": lies in the web root " + outer + " of account a.example");
  EXPECT_EQ(b.allocated, 0U);
}

TEST(Overlap, ByABindMount) {
  if (!IsRoot()) {
    GTEST_SKIP() << "mounting needs root";
  }
  Tree tree;
  for (const char* name : {"one", "one/inner", "two", "same"}) {
    tree.Folder(name);
  }
  tree.File("one/inner/file", 50'000);
  InChild([&] {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("", "/", "", MS_REC | MS_PRIVATE, nullptr), 0);
    const std::string one = tree / "one", two = tree / "two", same = tree / "same";
    ASSERT_EQ(mount((tree / "one/inner").c_str(), two.c_str(), "", MS_BIND, nullptr), 0);
    ASSERT_EQ(mount(one.c_str(), same.c_str(), "", MS_BIND, nullptr), 0);
    {
      // Names that have nothing in common.
      const RootIndex index = RootIndex::Of(TwoAccounts({one}, {two}));
      EXPECT_EQ(WalkedAs("a.example", one, index).problem,
                tree / "one/inner: is the web root " + two + " of account b.example as well");
      EXPECT_TRUE(WalkedAs("b.example", two, index).complete);
    }
    {
      const RootIndex index = RootIndex::Of(TwoAccounts({one}, {same}));
      EXPECT_EQ(WalkedAs("a.example", one, index).problem,
                one + ": is the web root " + same + " of account b.example as well");
      EXPECT_EQ(WalkedAs("b.example", same, index).problem,
                same + ": is the web root " + one + " of account a.example as well");
    }
    {
      // Of one account: counted once.
      const RootIndex index = RootIndex::Of(TwoAccounts({one, same, two}, {}));
      uint64_t sum = 0;
      for (const std::string& root : {one, same, two}) {
        const WebWalkResult result = WalkedAs("a.example", root, index);
        EXPECT_TRUE(result.complete) << result.problem;
        sum += result.allocated;
      }
      EXPECT_EQ(sum, DiskUsage(one));
    }
  });
}

}  // namespace
}  // namespace hosting

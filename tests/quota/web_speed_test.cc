// A walk beside du on the same tree, both warm, in turns: at most 1.25 times its time
// (docs/web.md).
//
//   LBOX_WEB_FILES   files of the tree, 20,000 by default; docs/web.md has figures for 200,000
//   LBOX_WEB_FOLDER  where to make it, /dev/shm by default
//   LBOX_WEB_REPEATS walks, 7 by default
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/quota/web_tree.h"

namespace hosting {
namespace {

using Seconds = std::chrono::duration<double>;

int Setting(const char* name, int otherwise) {
  const char* value = getenv(name);
  return value != nullptr ? atoi(value) : otherwise;
}

// A hundred files a directory, two levels; each third file has up to 9,000 bytes.
void Fill(const Tree& tree, int files) {
  const std::string bytes(9000, 'x');
  for (int i = 0; i < files; i += 100) {
    const std::string above = "d" + std::to_string(i / 5000);
    if (i % 5000 == 0) {
      tree.Folder(above);
    }
    const std::string folder = tree.Folder(above + "/s" + std::to_string(i / 100));
    const int at = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int j = i; j < std::min(i + 100, files); ++j) {
      const std::string name = "file" + std::to_string(j) + ".html";
      const int fd = openat(at, name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
      const int size = j % 3 == 0 ? j % 9000 : 0;
      ASSERT_EQ(write(fd, bytes.data(), size), size);
      close(fd);
    }
    close(at);
  }
  Output("sync -f " + tree.path());
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <typename Deed>
double Time(Deed deed) {
  const auto begin = std::chrono::steady_clock::now();
  deed();
  return Seconds(std::chrono::steady_clock::now() - begin).count();
}

TEST(WebSpeed, AtMostAQuarterSlowerThanDu) {
  const int files = Setting("LBOX_WEB_FILES", 20'000);
  const int repeats = Setting("LBOX_WEB_REPEATS", 7);
  const char* folder = getenv("LBOX_WEB_FOLDER");
  Tree tree(folder != nullptr ? folder : QuickFolder());
  Fill(tree, files);
  uint64_t walked = 0, du = 0;
  std::vector<double> walk_seconds, du_seconds;
  for (int i = 0; i <= repeats; ++i) {
    const double of_walk = Time([&] {
      const WebWalkResult result = Walked(tree.path(), {}, 4096);
      EXPECT_TRUE(result.complete) << result.problem;
      walked = result.allocated;
    });
    const double of_du = Time([&] { du = DiskUsage(tree.path()); });
    EXPECT_EQ(walked, du);
    if (i > 0) {  // the first warms
      walk_seconds.push_back(of_walk);
      du_seconds.push_back(of_du);
    }
  }
  const double ratio = Median(walk_seconds) / Median(du_seconds);
  printf("%d files: walk %.4f s, du -sx %.4f s (medians of %d), ratio %.2f\n", files,
         Median(walk_seconds), Median(du_seconds), repeats, ratio);
  RecordProperty("ratio", std::to_string(ratio));
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LE(ratio, 1.25);
#endif
}

}  // namespace
}  // namespace hosting

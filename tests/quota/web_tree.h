// For the tests of web_walk.h: a tree of files to count, and what du says of it.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "quota/web_walk.h"

namespace hosting {

// Runs a program and gives what it printed; the exit status must be 0.
inline std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  char buffer[4096];
  size_t got;
  while (pipe != nullptr && (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0) {
    text.append(buffer, got);
  }
  EXPECT_TRUE(pipe != nullptr && pclose(pipe) == 0) << command;
  return text;
}

// Where files are made quickly, whatever else the disk has to do.
inline std::string QuickFolder() {
  return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

// A folder of its own, gone at the end.
class Tree {
 public:
  explicit Tree(const std::string& below = QuickFolder()) {
    path_ = below + "/web-XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr) << below;
    EXPECT_EQ(chmod(path_.c_str(), 0755), 0);
  }
  ~Tree() { Output("chmod -R u+rwx " + path_ + " 2>/dev/null; rm -rf " + path_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  std::string Folder(const std::string& name) const {
    EXPECT_EQ(mkdir((*this / name).c_str(), 0755), 0) << name;
    return *this / name;
  }
  std::string File(const std::string& name, size_t size) const {
    const int fd = open((*this / name).c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    EXPECT_GE(fd, 0) << name;
    const std::string bytes(size, 'x');
    EXPECT_EQ(write(fd, bytes.data(), size), static_cast<ssize_t>(size));
    // Some file systems know the blocks only then.
    EXPECT_EQ(fsync(fd), 0);
    close(fd);
    return *this / name;
  }

 private:
  std::string path_;
};

inline uint64_t DiskUsage(const std::string& path) {
  return std::stoull(Output("du -sx --block-size=1 '" + path + "'"));
}

inline WebWalkResult Walked(const std::string& root, WebWalkOptions options = {},
                            uint64_t entries_a_step = 1000, SeenFiles* seen = nullptr) {
  SeenFiles own(1 << 20);
  WebWalk walk(root, std::move(options), seen != nullptr ? seen : &own);
  while (!walk.Step(entries_a_step, std::chrono::steady_clock::now())) {
  }
  return walk.result();
}

// Runs the body in a child process, which must exit with 0; for what cannot be undone.
inline void InChild(const std::function<void()>& body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "in the child, status " << status;
}

inline bool IsRoot() {
  return geteuid() == 0;
}

}  // namespace hosting

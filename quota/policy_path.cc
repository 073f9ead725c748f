#include "quota/policy_path.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <utility>
#include <vector>

#include <xxhash.h>

#include "quota/policy_file.h"

namespace hosting {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's MAXSYMLINKS
constexpr size_t kMaxComponents = 4096;
constexpr int64_t kTick = 20'000'000;  // ns: the kernel's stamps of files go by ticks of 1 to 10 ms

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileIdentity IdentityOf(const struct stat& status) {
  FileIdentity identity;
  identity.device = status.st_dev;
  identity.inode = status.st_ino;
  identity.size = static_cast<uint64_t>(status.st_size);
  identity.modified = Nanoseconds(status.st_mtim);
  identity.changed = Nanoseconds(status.st_ctim);
  return identity;
}

// Goes down a path component by component.
class SafeWalk {
 public:
  SafeWalk(const std::string& path, const PathRules& rules) : rules_(rules) { Prepend(path); }

  // The file, open for reading.
  Result<Descriptor> Open() {
    dirs_.emplace_back("", Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
    if (dirs_.back().second.get() < 0) {
      return Status::FromErrno("open(/)", errno);
    }
    if (Status good = Check("/", dirs_.back().second.get()); !good.ok()) {
      return good;
    }
    while (!todo_.empty()) {
      const std::string name = todo_.front();
      todo_.pop_front();
      if (name.empty() || name == ".") {
        continue;
      }
      if (name == "..") {
        if (dirs_.size() > 1) {
          dirs_.pop_back();
        }
        continue;
      }
      struct stat status {};
      const std::string path = dirs_.back().first + "/" + name;
      if (fstatat(dirs_.back().second.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return Status::FromErrno("stat(" + path + ")", errno);
      }
      if (S_ISLNK(status.st_mode)) {
        if (Status good = Follow(path, name, status); !good.ok()) {
          return good;
        }
        continue;
      }
      const bool folder = S_ISDIR(status.st_mode);
      const int flags = folder ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY;
      Descriptor opened(
          openat(dirs_.back().second.get(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
      if (opened.get() < 0) {
        return Status::FromErrno("open(" + path + ")", errno);
      }
      // What was opened counts, whatever the name stood for before.
      if (Status good = Check(path, opened.get()); !good.ok()) {
        return good;
      }
      if (!folder) {
        return todo_.empty() ? Result<Descriptor>(std::move(opened))
                             : Status(Code::kNotFound, path + " is not a folder");
      }
      dirs_.emplace_back(path, std::move(opened));
    }
    return Status(Code::kInvalid, "expected a file, but " + dirs_.back().first + "/ is a folder");
  }

 private:
  void Prepend(const std::string& path) {
    std::deque<std::string> parts;
    for (size_t at = 0; at <= path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      parts.push_back(path.substr(at, end - at));
      at = end + 1;
    }
    todo_.insert(todo_.begin(), parts.begin(), parts.end());
  }

  [[nodiscard]] bool Trusted(const std::string& path) const {
    const std::string& folder = rules_.trusted_folder;
    return !folder.empty() && (path == "/" || folder == path || folder.rfind(path + "/", 0) == 0);
  }

  [[nodiscard]] Status CheckOwner(const std::string& path, const struct stat& status) const {
    if (status.st_uid == 0 || status.st_uid == rules_.owner || Trusted(path)) {
      return {};
    }
    return {Code::kPermission, "expected " + path + " to be owned by root, not by uid " +
                                   std::to_string(status.st_uid)};
  }

  [[nodiscard]] Status Check(const std::string& path, int fd) const {
    struct stat status {};
    if (fstat(fd, &status) != 0) {
      return Status::FromErrno("fstat(" + path + ")", errno);
    }
    if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
      return {Code::kInvalid, "expected " + path + " to be a file"};
    }
    if (Status good = CheckOwner(path, status); !good.ok()) {
      return good;
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !Trusted(path)) {
      std::array<char, 16> mode{};
      snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(status.st_mode & 07777));
      return {
          Code::kPermission,
          "expected " + path + " to be writable by its owner only, not with mode " + mode.data()};
    }
    return {};
  }

  Status Follow(const std::string& path, const std::string& name, const struct stat& status) {
    if (Status good = CheckOwner(path, status); !good.ok()) {
      return good;
    }
    std::array<char, PATH_MAX> target{};
    const ssize_t size =
        readlinkat(dirs_.back().second.get(), name.c_str(), target.data(), target.size());
    if (size < 0) {
      return Status::FromErrno("readlink(" + path + ")", errno);
    }
    if (++links_ > kMaxLinks || todo_.size() > kMaxComponents) {
      return {Code::kInvalid, "too many symbolic links on the way, the last one being " + path};
    }
    const std::string to(target.data(), static_cast<size_t>(size));
    if (!to.empty() && to[0] == '/') {
      dirs_.erase(dirs_.begin() + 1, dirs_.end());
    }
    Prepend(to);
    return {};
  }

  const PathRules& rules_;
  std::deque<std::string> todo_;
  std::vector<std::pair<std::string, Descriptor>> dirs_;  // from / to where we are
  int links_ = 0;
};

}  // namespace

Result<PolicyText> ReadPolicyText(const std::string& path, const PathRules& rules) {
  if (path.empty() || path[0] != '/') {
    return Status(Code::kInvalid, "expected an absolute path");
  }
  auto file = SafeWalk(path, rules).Open();
  if (!file.ok()) {
    return file.status();
  }
  struct stat status {};
  if (fstat(file->get(), &status) != 0) {
    return Status::FromErrno("fstat(" + path + ")", errno);
  }
  const Status too_large(Code::kInvalid, "expected a file of at most " +
                                             std::to_string(kMaxPolicyFile >> 20) + " MiB");
  if (static_cast<uint64_t>(status.st_size) > kMaxPolicyFile) {
    return too_large;
  }
  PolicyText read;
  read.identity = IdentityOf(status);
  read.text.resize(static_cast<size_t>(status.st_size) + 1);  // one more: to see that it ends
  size_t size = 0;
  while (size < read.text.size()) {
    const ssize_t got = ::read(file->get(), read.text.data() + size, read.text.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Status::FromErrno("read(" + path + ")", errno);
    }
    if (got == 0) {
      break;
    }
    size += static_cast<size_t>(got);
  }
  if (size != static_cast<size_t>(status.st_size)) {
    return Status(Code::kAborted, path + " is being written");
  }
  read.text.resize(size);
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);  // the clock that files are stamped by
  read.fresh = Nanoseconds(now) - read.identity.changed < kTick;
  read.identity.hash = XXH3_64bits(read.text.data(), read.text.size());
  return read;
}

Result<FileIdentity> StatPolicy(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    return Status::FromErrno("stat(" + path + ")", errno);
  }
  return IdentityOf(status);
}

}  // namespace hosting

// The real file system behind Env.
#include <cerrno>
#include <cstdlib>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/env.h"

namespace lbox {
namespace {

// "<call>(<path>) failed: <reason>"; with the identity when that is the reason.
Status Failed(const char* call, const std::string& path, int error) {
  std::string what = std::string(call) + "(" + path + ")";
  if (error == EACCES || error == EPERM) {
    what += " as uid " + std::to_string(geteuid()) + ", gid " + std::to_string(getegid());
  }
  return Status::FromErrno(what + " failed", error);
}

template <typename Call>
auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  // Not retried on EINTR: Linux has closed it by then.
  ~PosixFile() override { close(fd_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<size_t> ReadAt(uint64_t offset, void* data, size_t size) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t got = Retry([&] {
        return pread(fd_, static_cast<char*>(data) + done, size - done,
                     static_cast<off_t>(offset + done));
      });
      if (got < 0) {
        return Failed("read", path_, errno);
      }
      if (got == 0) {
        break;
      }
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status WriteAt(uint64_t offset, const void* data, size_t size) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t put = Retry([&] {
        return pwrite(fd_, static_cast<const char*>(data) + done, size - done,
                      static_cast<off_t>(offset + done));
      });
      if (put <= 0) {
        return Failed("write", path_, put == 0 ? ENOSPC : errno);
      }
      done += static_cast<size_t>(put);
    }
    return {};
  }

  Status Sync() override {
    if (Retry([&] { return fdatasync(fd_); }) != 0) {
      return Failed("fdatasync", path_, errno);
    }
    return {};
  }

  void StartSync() override { (void)sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE); }

  Result<uint64_t> Size() override {
    struct stat st;
    if (fstat(fd_, &st) != 0) {
      return Failed("fstat", path_, errno);
    }
    return static_cast<uint64_t>(st.st_size);
  }

  int descriptor() const override { return fd_; }

 private:
  const int fd_;
  const std::string path_;
};

// Gives a file or directory that was just created its mode and group, whatever the umask was. When
// the group may not be given, the group's bits are left out: they were meant for another group.
Status SetModeAndGroup(int fd, const std::string& path, uint32_t mode, int64_t gid) {
  if (gid != -1) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
      return Failed("fstat", path, errno);
    }
    const auto group = static_cast<gid_t>(gid);
    if (st.st_gid != group && fchown(fd, static_cast<uid_t>(-1), group) != 0) {
      if (errno != EPERM) {
        return Failed("fchown", path, errno);
      }
      mode &= ~static_cast<uint32_t>(S_IRWXG);
    }
  }
  if (fchmod(fd, static_cast<mode_t>(mode)) != 0) {
    return Failed("fchmod", path, errno);
  }
  return {};
}

class PosixEnv final : public Env {
 public:
  Result<std::unique_ptr<File>> OpenRead(const std::string& path) override {
    return Open(path, O_RDONLY);
  }

  Result<std::unique_ptr<File>> OpenReadWrite(const std::string& path) override {
    return Open(path, O_RDWR);
  }

  Result<std::unique_ptr<File>> Create(const std::string& path, bool exclusive, uint32_t mode,
                                       int64_t gid) override {
    for (;;) {
      const int fd = Retry([&] {
        return open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | kOpenFlags,
                    static_cast<mode_t>(mode));
      });
      if (fd != -1) {
        std::unique_ptr<File> file = std::make_unique<PosixFile>(fd, path);
        if (Status status = SetModeAndGroup(fd, path, mode, gid); !status.ok()) {
          unlink(path.c_str());
          return status;
        }
        return file;
      }
      if (errno != EEXIST || exclusive) {
        return Failed("creat", path, errno);
      }
      auto file = Open(path, O_RDWR);
      if (file.ok() || file.status().code() != Code::kNotFound) {
        return file;
      }
      // Removed by another process since; create it again.
    }
  }

  Status MakeDirectory(const std::string& path, uint32_t mode, int64_t gid) override {
    struct stat st;
    const auto there = [&] { return stat(path.c_str(), &st) == 0; };
    if (there()) {  // mostly
      return S_ISDIR(st.st_mode) ? Status() : Failed("mkdir", path, EEXIST);
    }
    if (mkdir(path.c_str(), static_cast<mode_t>(mode)) != 0) {
      const int error = errno;
      return error == EEXIST && there() && S_ISDIR(st.st_mode) ? Status()
                                                               : Failed("mkdir", path, error);
    }
    const auto directory = Open(path, O_RDONLY | O_DIRECTORY);
    Status status = directory.ok() ? SetModeAndGroup((*directory)->descriptor(), path, mode, gid)
                                   : directory.status();
    if (!status.ok()) {
      rmdir(path.c_str());  // its mode would stay wrong
    }
    return status;
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) {
      return Failed("rename", from + ", " + to, errno);
    }
    return {};
  }

  Status Link(const std::string& from, const std::string& to) override {
    if (link(from.c_str(), to.c_str()) != 0) {
      return Failed("link", from + ", " + to, errno);
    }
    return {};
  }

  Status Unlink(const std::string& path) override {
    if (unlink(path.c_str()) != 0) {
      return Failed("unlink", path, errno);
    }
    return {};
  }

  Status SyncDirectory(const std::string& path) override {
    const int fd = Retry([&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd == -1) {
      return Failed("open", path, errno);
    }
    const PosixFile directory(fd, path);
    // EINVAL: a file system without flushes for directories; it has nothing better to offer.
    if (Retry([&] { return fsync(fd); }) != 0 && errno != EINVAL) {
      return Failed("fsync", path, errno);
    }
    return {};
  }

  Result<FileInfo> Stat(const std::string& path) override {
    struct stat st;
    if (stat(path.c_str(), &st) != 0) {
      return Failed("stat", path, errno);
    }
    FileInfo info;
    info.size = static_cast<uint64_t>(st.st_size);
    info.allocated = static_cast<uint64_t>(st.st_blocks) * 512;
    info.device = st.st_dev;
    info.inode = st.st_ino;
    info.uid = st.st_uid;
    info.links = static_cast<uint32_t>(st.st_nlink);
    info.directory = S_ISDIR(st.st_mode);
    return info;
  }

  Status List(const std::string& path,
              const std::function<void(const std::string& name)>& visit) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
    if (directory == nullptr) {
      return Failed("opendir", path, errno);
    }
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(directory.get());
      if (entry == nullptr) {
        return errno == 0 ? Status() : Failed("readdir", path, errno);
      }
      const std::string name = entry->d_name;
      if (name != "." && name != "..") {
        visit(name);
      }
    }
  }

 private:
  static constexpr int kOpenFlags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;

  static Result<std::unique_ptr<File>> Open(const std::string& path, int flags) {
    const int fd = Retry([&] { return open(path.c_str(), flags | kOpenFlags); });
    if (fd == -1) {
      return Failed("open", path, errno);
    }
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }
};

}  // namespace

Env* Env::Default() {
  static PosixEnv env;
  return &env;
}

}  // namespace lbox

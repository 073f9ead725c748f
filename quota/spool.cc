#include "quota/spool.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "quota/descriptor.h"
#include "quota/frame.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr std::string_view kMagic = "hostspl1";
constexpr size_t kHeadBytes = 16;
constexpr int64_t kUnfinishedSeconds = 3600;

std::string Check(std::string_view message) {
  const uint64_t hash = XXH3_64bits(message.data(), message.size());
  std::string bytes(8, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(static_cast<uint8_t>(hash >> (8 * i)));
  }
  return bytes;
}

// One that no other file has: the name of a process and of an instant.
std::string NewName() {
  static std::atomic<uint32_t> count{0};
  struct timespec now {};
  clock_gettime(CLOCK_REALTIME, &now);
  return std::to_string(now.tv_sec) + "." + std::to_string(now.tv_nsec) + "." +
         std::to_string(getpid()) + "." + std::to_string(count++);
}

Status WriteFile(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno != EINTR) {
      return Status::FromErrno("write(" + path + ")", errno);
    }
    bytes.remove_prefix(static_cast<size_t>(wrote < 0 ? 0 : wrote));
  }
  // The service reads it by its group, which the folder hands on.
  return fchmod(fd, 0640) == 0 ? Status() : Status::FromErrno("fchmod(" + path + ")", errno);
}

}  // namespace

std::string EncodeSpooled(const wire::Spooled& spooled) {
  const std::string message = spooled.SerializeAsString();
  return std::string(kMagic) + Check(message) + message;
}

Status DecodeSpooled(const std::string& bytes, wire::Spooled& spooled) {
  const std::string_view all = bytes;
  if (all.size() < kHeadBytes || all.substr(0, kMagic.size()) != kMagic ||
      all.substr(kMagic.size(), 8) != Check(all.substr(kHeadBytes)) ||
      !spooled.ParseFromArray(all.data() + kHeadBytes, static_cast<int>(all.size() - kHeadBytes)) ||
      !spooled.has_hello()) {
    return Status(Code::kInvalid, "not a spooled report");
  }
  return {};
}

Result<std::string> WriteSpool(const std::string& folder, const wire::Spooled& spooled) {
  const std::string name = NewName();
  const std::string path = folder + "/" + name;
  const std::string unfinished = folder + "/." + name;
  const Descriptor file(
      open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return Status::FromErrno("open(" + unfinished + ")", errno);
  }
  Status status = WriteFile(file.get(), unfinished, EncodeSpooled(spooled));
  if (status.ok() && rename(unfinished.c_str(), path.c_str()) != 0) {
    status = Status::FromErrno("rename(" + unfinished + ")", errno);
  }
  if (!status.ok()) {
    unlink(unfinished.c_str());
    return status;
  }
  return name;
}

Status TouchSpool(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  return utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) == 0
             ? Status()
             : Status::FromErrno("utimensat(" + path + ")", errno);
}

Result<std::vector<std::string>> ListSpool(const std::string& folder, size_t most, int64_t now) {
  DIR* const dir = opendir(folder.c_str());
  if (dir == nullptr) {
    return Status::FromErrno("opendir(" + folder + ")", errno);
  }
  std::vector<std::string> names;
  while (const struct dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    struct stat info {};
    if (!name.starts_with('.')) {
      names.push_back(name);
    } else if (name.size() > 2 &&
               fstatat(dirfd(dir), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
               info.st_mtime < now - kUnfinishedSeconds) {
      unlinkat(dirfd(dir), name.c_str(), 0);
    }
    if (names.size() >= most) {
      break;
    }
  }
  closedir(dir);
  return names;
}

Status ReadSpool(const std::string& folder, const std::string& name, wire::Spooled& spooled,
                 SpoolFile& origin) {
  const std::string path = folder + "/" + name;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) {
    return errno == ELOOP ? Status(Code::kInvalid, path + " is a symbolic link")
                          : Status::FromErrno("open(" + path + ")", errno);
  }
  struct stat info {};
  if (fstat(file.get(), &info) != 0) {
    return Status::FromErrno("fstat(" + path + ")", errno);
  }
  // A second name could give another one's file to whoever made it.
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1 ||
      info.st_size > static_cast<off_t>(kHeadBytes + kMaxFrameBytes)) {
    return Status(Code::kInvalid, path + " is no spool file");
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) {
    return Status::FromErrno("read(" + path + ")", errno);
  }
  bytes.resize(static_cast<size_t>(got));
  origin = {info.st_uid, info.st_mtim.tv_sec};
  const Status status = DecodeSpooled(bytes, spooled);
  return status.ok() ? status : Status(status.code(), path + ": " + status.message());
}

Status RemoveSpool(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  if (unlink(path.c_str()) == 0) {
    return {};
  }
  const int error = errno;
  if ((error == EISDIR || error == EPERM) && rmdir(path.c_str()) == 0) {
    return {};
  }
  return Status::FromErrno("unlink(" + path + ")", error);
}

}  // namespace hosting

// Snapshots as files: written so that a crash leaves the old one or the new one.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "quota/policy_snapshot.h"

namespace hosting {
namespace {

constexpr mode_t kMode = 0640;

Status WriteAll(int file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      return Status::FromErrno("write(" + path + ")", errno);
    }
    bytes.remove_prefix(written < 0 ? 0 : static_cast<size_t>(written));
  }
  // Durable after this: the new snapshot under its other name.
  if (fsync(file) != 0) {
    return Status::FromErrno("fsync(" + path + ")", errno);
  }
  return {};
}

Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return Status::FromErrno("open(" + folder + ")", errno);
  }
  // Durable after this: the new snapshot under its name.
  Status synced = fsync(fd) == 0 ? Status() : Status::FromErrno("fsync(" + folder + ")", errno);
  close(fd);
  return synced;
}

Status Named(const std::string& path, const Status& status) {
  return {status.code(), path + ": " + status.message()};
}

}  // namespace

Result<std::string> ReadUpTo(const std::string& path, size_t most) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (file < 0) {
    return Status::FromErrno("open(" + path + ")", errno);
  }
  std::string bytes;
  struct stat status {};
  Status failed =
      fstat(file, &status) == 0 ? Status() : Status::FromErrno("fstat(" + path + ")", errno);
  if (failed.ok()) {
    bytes.resize(std::min(most, static_cast<size_t>(status.st_size)));
  }
  size_t size = 0;
  while (failed.ok() && size < bytes.size()) {
    const ssize_t got = read(file, bytes.data() + size, bytes.size() - size);
    if (got == 0) {
      break;
    }
    if (got < 0 && errno != EINTR) {
      failed = Status::FromErrno("read(" + path + ")", errno);
    }
    size += got < 0 ? 0 : static_cast<size_t>(got);
  }
  close(file);
  if (!failed.ok()) {
    return failed;
  }
  bytes.resize(size);
  return bytes;
}

Status WriteSnapshotBytes(const std::string& path, std::string_view bytes) {
  const std::string aside = path + ".tmp";
  unlink(aside.c_str());  // of a writer that died
  const int file = open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kMode);
  if (file < 0) {
    return Status::FromErrno("open(" + aside + ")", errno);
  }
  Status written = WriteAll(file, bytes, aside);
  if (written.ok() && fchmod(file, kMode) != 0) {  // whatever the umask is
    written = Status::FromErrno("fchmod(" + aside + ")", errno);
  }
  if (close(file) != 0 && written.ok()) {
    written = Status::FromErrno("close(" + aside + ")", errno);
  }
  if (written.ok() && rename(aside.c_str(), path.c_str()) != 0) {
    written = Status::FromErrno("rename(" + aside + ", " + path + ")", errno);
  }
  if (!written.ok()) {
    unlink(aside.c_str());
    return written;
  }
  return SyncFolderOf(path);
}

Status WriteSnapshot(const std::string& path, const PolicySnapshot& snapshot) {
  return WriteSnapshotBytes(path, EncodeSnapshot(snapshot));
}

Result<PolicySnapshot> ReadSnapshot(const std::string& path) {
  const auto bytes = ReadUpTo(path, kMaxSnapshot + 1);
  if (!bytes.ok()) {
    return bytes.status();
  }
  auto snapshot = DecodeSnapshot(*bytes);
  return snapshot.ok() ? std::move(snapshot) : Named(path, snapshot.status());
}

Result<SnapshotHeader> ReadSnapshotHeader(const std::string& path) {
  const auto bytes = ReadUpTo(path, kSnapshotHeader);
  if (!bytes.ok()) {
    return bytes.status();
  }
  auto header = DecodeSnapshotHeader(*bytes);
  return header.ok() ? std::move(header) : Named(path, header.status());
}

}  // namespace hosting

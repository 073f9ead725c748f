// A disk that fills up, for everything this process writes, LMDB's own writes included.
//
// Include it in one file of a test program: it takes the place of the C library's calls. Space is
// counted by file sizes: what makes a file longer takes it, unlinking the last name of a file gives
// it back. A write that does not fit whole is cut short, as the kernel does it; one that does not
// fit at all fails.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace lbox::testing {

struct SmallDisk {
  bool limited = false;
  int64_t free_bytes = 0;
  int error = ENOSPC;    // EDQUOT: a quota instead
  uint64_t flushes = 0;  // fdatasync, fsync and writes to descriptors with O_DSYNC
  uint64_t refused = 0;

  // How many of `size` bytes at `offset` may be written.
  int64_t Allow(int fd, int64_t offset, int64_t size) {
    struct stat st {};
    if (!limited || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
      return size;
    }
    const int64_t growth =
        std::max<int64_t>(0, offset + size - std::max<int64_t>(st.st_size, offset));
    const int64_t cut = std::max<int64_t>(0, growth - free_bytes);
    refused += cut > 0 ? 1 : 0;
    free_bytes -= growth - cut;
    return size - cut;
  }
};
inline SmallDisk small_disk;

}  // namespace lbox::testing

extern "C" {

__attribute__((visibility("default"))) ssize_t pwrite64(int fd, const void* data, size_t size,
                                                        off_t offset) {
  using lbox::testing::small_disk;
  const int64_t allowed = small_disk.Allow(fd, offset, static_cast<int64_t>(size));
  if (allowed <= 0 && size > 0) {
    errno = small_disk.error;
    return -1;
  }
  const int flags = fcntl(fd, F_GETFL);
  small_disk.flushes += flags != -1 && (flags & O_DSYNC) != 0 ? 1 : 0;
  return syscall(SYS_pwrite64, fd, data, static_cast<size_t>(allowed), offset);
}

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void* data, size_t size,
                                                      off_t offset) {
  return pwrite64(fd, data, size, offset);
}

__attribute__((visibility("default"))) ssize_t writev(int fd, const struct iovec* parts,
                                                      int count) {
  using lbox::testing::small_disk;
  int64_t size = 0;
  for (int i = 0; i < count; i++) {
    size += static_cast<int64_t>(parts[i].iov_len);
  }
  const off_t offset = lseek(fd, 0, SEEK_CUR);
  const int64_t allowed = offset == -1 ? size : small_disk.Allow(fd, offset, size);
  if (allowed == size) {
    return syscall(SYS_writev, fd, parts, count);
  }
  if (allowed <= 0) {
    errno = small_disk.error;
    return -1;
  }
  return syscall(SYS_write, fd, parts[0].iov_base,
                 std::min<size_t>(parts[0].iov_len, static_cast<size_t>(allowed)));
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
  lbox::testing::small_disk.flushes++;
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

__attribute__((visibility("default"))) int fsync(int fd) {
  lbox::testing::small_disk.flushes++;
  return static_cast<int>(syscall(SYS_fsync, fd));
}

__attribute__((visibility("default"))) int fallocate(int fd, int mode, off_t offset, off_t size) {
  using lbox::testing::small_disk;
  if (small_disk.limited) {
    errno = small_disk.error;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, size));
}

__attribute__((visibility("default"))) int unlink(const char* path) {
  using lbox::testing::small_disk;
  struct stat st {};
  const bool counted =
      small_disk.limited && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
  const int result = static_cast<int>(syscall(SYS_unlink, path));
  if (result == 0 && counted) {
    small_disk.free_bytes += st.st_size;
  }
  return result;
}

}  // extern "C"

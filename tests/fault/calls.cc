#include "tests/fault/calls.h"

#include <cerrno>
#include <cstdarg>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace lbox::testing {
namespace {

CallObserver* observer = nullptr;

// Asks the observer, makes the call, tells it the result. The observer's own calls go unseen.
template <typename Function>
auto Make(Call call, Function function) -> decltype(function(call)) {
  CallObserver* const seen = std::exchange(observer, nullptr);
  if (seen == nullptr) {
    return function(call);
  }
  const int error = seen->Before(call);
  errno = 0;
  auto result = error != 0 && !call.made ? decltype(function(call))(-1) : function(call);
  const int after = error != 0 ? error : errno;
  call.error = after;
  seen->After(call, static_cast<int64_t>(result));
  observer = seen;
  errno = after;
  return error != 0 ? decltype(function(call))(-1) : result;
}

Call OnPath(CallKind kind, const char* path, const char* path2 = "") {
  Call call{kind};
  call.path = path;
  call.path2 = path2;
  return call;
}

Call OnFile(CallKind kind, int fd, size_t size = 0, uint64_t offset = 0) {
  Call call{kind};
  call.fd = fd;
  call.size = size;
  call.offset = offset;
  return call;
}

Call Writing(int fd, const void* data, size_t size, uint64_t offset) {
  Call call = OnFile(CallKind::kWrite, fd, size, offset);
  call.data = static_cast<const uint8_t*>(data);
  return call;
}

uint64_t Position(int fd) {
  return static_cast<uint64_t>(syscall(SYS_lseek, fd, 0, SEEK_CUR));
}

std::vector<uint8_t> Gather(const iovec* parts, int count) {
  std::vector<uint8_t> bytes;
  for (int i = 0; i < count; i++) {
    const auto* start = static_cast<const uint8_t*>(parts[i].iov_base);
    bytes.insert(bytes.end(), start, start + parts[i].iov_len);
  }
  return bytes;
}

bool SkipFlushes() {
  return observer != nullptr && observer->skip_flushes();
}

}  // namespace

const char* CallName(CallKind kind) {
  static constexpr const char* kNames[] = {"open",     "close",     "mkdir",   "read",   "write",
                                           "truncate", "fallocate", "fsync",   "rename", "link",
                                           "unlink",   "stat",      "readdir", "lock",   "mmap"};
  return kNames[static_cast<size_t>(kind)];
}

Observe::Observe(CallObserver& next) : before_(std::exchange(observer, &next)) {}
Observe::~Observe() {
  observer = before_;
}

// By their names for the linker, whatever a C library's headers declare them as.
#define LBOX_CALL(type, name, ...)                                                                \
  extern "C" __attribute__((visibility("default"))) type Seen_##name(__VA_ARGS__) __asm__(#name); \
  type Seen_##name(__VA_ARGS__)
#define LBOX_SAME_CALL(type, alias_name, name, ...)               \
  extern "C" __attribute__((visibility("default"), alias(#name))) \
  type Seen_##alias_name(__VA_ARGS__) __asm__(#alias_name);

LBOX_CALL(int, open, const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  Call call = OnPath(CallKind::kOpen, path);
  call.flags = flags;
  const int made = SkipFlushes() ? flags & ~(O_DSYNC | O_SYNC) : flags;
  return Make(call, [&](Call& c) {
    return static_cast<int>(c.fd =
                                static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, made, mode)));
  });
}
LBOX_SAME_CALL(int, open64, open, const char* path, int flags, ...)

LBOX_CALL(int, close, int fd) {
  return Make(OnFile(CallKind::kClose, fd),
              [](Call& c) { return static_cast<int>(syscall(SYS_close, c.fd)); });
}

LBOX_CALL(int, mkdir, const char* path, mode_t mode) {
  return Make(OnPath(CallKind::kMakeDirectory, path), [mode](Call& c) {
    return static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, c.path, mode));
  });
}

LBOX_CALL(ssize_t, pread, int fd, void* data, size_t size, off_t offset) {
  return Make(OnFile(CallKind::kRead, fd, size, static_cast<uint64_t>(offset)), [&](Call& c) {
    return static_cast<ssize_t>(syscall(SYS_pread64, fd, data, c.size, offset));
  });
}
LBOX_SAME_CALL(ssize_t, pread64, pread, int fd, void* data, size_t size, off_t offset)

LBOX_CALL(ssize_t, pwrite, int fd, const void* data, size_t size, off_t offset) {
  return Make(Writing(fd, data, size, static_cast<uint64_t>(offset)), [&](Call& c) {
    return static_cast<ssize_t>(syscall(SYS_pwrite64, fd, data, c.size, offset));
  });
}
LBOX_SAME_CALL(ssize_t, pwrite64, pwrite, int fd, const void* data, size_t size, off_t offset)

LBOX_CALL(ssize_t, write, int fd, const void* data, size_t size) {
  return Make(Writing(fd, data, size, Position(fd)),
              [&](Call& c) { return static_cast<ssize_t>(syscall(SYS_write, fd, data, c.size)); });
}

LBOX_CALL(ssize_t, writev, int fd, const iovec* parts, int count) {
  const std::vector<uint8_t> bytes = Gather(parts, count);
  return Make(Writing(fd, bytes.data(), bytes.size(), Position(fd)), [&](Call& c) {
    return static_cast<ssize_t>(syscall(SYS_write, fd, bytes.data(), c.size));
  });
}

LBOX_CALL(ssize_t, pwritev, int fd, const iovec* parts, int count, off_t offset) {
  const std::vector<uint8_t> bytes = Gather(parts, count);
  return Make(Writing(fd, bytes.data(), bytes.size(), static_cast<uint64_t>(offset)), [&](Call& c) {
    return static_cast<ssize_t>(syscall(SYS_pwrite64, fd, bytes.data(), c.size, offset));
  });
}
LBOX_SAME_CALL(ssize_t, pwritev64, pwritev, int fd, const iovec* parts, int count, off_t offset)

LBOX_CALL(int, ftruncate, int fd, off_t size) {
  return Make(OnFile(CallKind::kTruncate, fd, static_cast<size_t>(size)),
              [&](Call&) { return static_cast<int>(syscall(SYS_ftruncate, fd, size)); });
}
LBOX_SAME_CALL(int, ftruncate64, ftruncate, int fd, off_t size)

LBOX_CALL(int, fallocate, int fd, int mode, off_t offset, off_t size) {
  return Make(
      OnFile(CallKind::kAllocate, fd, static_cast<size_t>(offset + size),
             static_cast<uint64_t>(offset)),
      [&](Call&) { return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, size)); });
}
LBOX_SAME_CALL(int, fallocate64, fallocate, int fd, int mode, off_t offset, off_t size)

LBOX_CALL(int, fsync, int fd) {
  const bool skip = SkipFlushes();
  return Make(OnFile(CallKind::kSync, fd),
              [&](Call&) { return skip ? 0 : static_cast<int>(syscall(SYS_fsync, fd)); });
}

LBOX_CALL(int, fdatasync, int fd) {
  const bool skip = SkipFlushes();
  return Make(OnFile(CallKind::kSync, fd),
              [&](Call&) { return skip ? 0 : static_cast<int>(syscall(SYS_fdatasync, fd)); });
}

LBOX_CALL(int, rename, const char* from, const char* to) {
  return Make(OnPath(CallKind::kRename, from, to), [](Call& c) {
    return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, c.path, AT_FDCWD, c.path2, 0));
  });
}

LBOX_CALL(int, link, const char* from, const char* to) {
  return Make(OnPath(CallKind::kLink, from, to), [](Call& c) {
    return static_cast<int>(syscall(SYS_linkat, AT_FDCWD, c.path, AT_FDCWD, c.path2, 0));
  });
}

LBOX_CALL(int, unlink, const char* path) {
  return Make(OnPath(CallKind::kUnlink, path),
              [](Call& c) { return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, c.path, 0)); });
}

LBOX_CALL(int, flock, int fd, int operation) {
  return Make(OnFile(CallKind::kLock, fd),
              [&](Call&) { return static_cast<int>(syscall(SYS_flock, fd, operation)); });
}

// Resolved once the program has started: dlsym itself may need memory.
using MapFunction = void* (*)(void*, size_t, int, int, int, off_t);
MapFunction next_mmap = nullptr;
void* (*next_opendir)(const char*) = nullptr;
int (*next_stat)(const char*, struct stat*) = nullptr;
__attribute__((constructor)) void FindNext() {
  next_mmap = reinterpret_cast<MapFunction>(dlsym(RTLD_NEXT, "mmap"));
  next_opendir = reinterpret_cast<decltype(next_opendir)>(dlsym(RTLD_NEXT, "opendir"));
  next_stat = reinterpret_cast<decltype(next_stat)>(dlsym(RTLD_NEXT, "stat"));
}

LBOX_CALL(void*, mmap, void* address, size_t size, int protection, int flags, int fd,
          off_t offset) {
  const auto map = [&](const Call&) {
    return next_mmap == nullptr
               ? static_cast<int64_t>(
                     syscall(SYS_mmap, address, size, protection, flags, fd, offset))
               : reinterpret_cast<int64_t>(next_mmap(address, size, protection, flags, fd, offset));
  };
  const Call call = OnFile(CallKind::kMap, fd, size);
  return reinterpret_cast<void*>(fd == -1 ? map(call) : Make(call, map));
}
LBOX_SAME_CALL(void*, mmap64, mmap, void* address, size_t size, int protection, int flags, int fd,
               off_t offset)

LBOX_CALL(int, stat, const char* path, struct stat* result) {
  return Make(OnPath(CallKind::kStat, path), [&](Call& c) { return next_stat(c.path, result); });
}

LBOX_CALL(void*, opendir, const char* path) {
  const int64_t result = Make(OnPath(CallKind::kList, path), [](Call& c) {
    void* const directory = next_opendir(c.path);
    return directory == nullptr ? int64_t{-1} : reinterpret_cast<int64_t>(directory);
  });
  return result == -1 ? nullptr : reinterpret_cast<void*>(result);
}

}  // namespace lbox::testing

#include "quota/web_open.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace hosting {
namespace {

constexpr int kDirectoryFlags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

int FlagsFor(OpenFor purpose) {
  return kDirectoryFlags | (purpose == OpenFor::kPassing ? O_PATH : O_RDONLY | O_NOATIME);
}

// One try, and another without O_NOATIME, which the owner and root alone may ask for.
template <typename Open>
int OpenPolitely(OpenFor purpose, Descriptor* fd, Open open) {
  const int flags = FlagsFor(purpose);
  int opened = open(flags);
  if (opened < 0 && errno == EPERM && (flags & O_NOATIME) != 0) {
    opened = open(flags & ~O_NOATIME);
  }
  if (opened < 0) {
    return errno;
  }
  *fd = Descriptor(opened);
  return 0;
}

// Whether a component is one that names a directory's own entry.
bool PlainName(std::string_view name) {
  return !name.empty() && name != "." && name != "..";
}

bool PlainPath(std::string_view path) {
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string_view::npos) {
    return false;
  }
  size_t begin = 1;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    // A doubled or trailing slash does no harm.
    if (end > begin && !PlainName(path.substr(begin, end - begin))) {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

int OpenByComponent(const std::string& path, OpenFor purpose, Descriptor* fd) {
  Descriptor at;
  int error = OpenPolitely(OpenFor::kPassing, &at, [](int flags) { return open("/", flags); });
  size_t begin = 1;
  while (error == 0 && begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) {
      Descriptor next;
      error =
          OpenBelow(at.get(), path.substr(begin, end - begin).c_str(), OpenFor::kPassing, &next);
      at = std::move(next);
    }
    begin = end + 1;
  }
  if (error == 0 && purpose == OpenFor::kListing) {
    return OpenPolitely(purpose, fd, [&](int flags) { return openat(at.get(), ".", flags); });
  }
  *fd = std::move(at);
  return error;
}

}  // namespace

int ReadFacts(int directory, const char* name, FileFacts* facts) {
  constexpr unsigned kMask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_INO |
                             STATX_SIZE | STATX_BLOCKS | STATX_MNT_ID;
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  struct statx s;
  if (statx(directory, name, name[0] == '\0' ? kFlags | AT_EMPTY_PATH : kFlags, kMask, &s) != 0) {
    return errno;
  }
  facts->id = {uint64_t{s.stx_dev_major} << 32 | s.stx_dev_minor, s.stx_ino};
  facts->mount = (s.stx_mask & STATX_MNT_ID) != 0 ? s.stx_mnt_id : 0;
  facts->allocated = s.stx_blocks * 512;
  facts->size = s.stx_size;
  facts->links = s.stx_nlink;
  facts->uid = s.stx_uid;
  facts->mode = s.stx_mode;
  return 0;
}

// A link is refused with ELOOP, or with ENOTDIR under O_PATH.
int OpenBelow(int directory, const char* name, OpenFor purpose, Descriptor* fd) {
  return OpenPolitely(purpose, fd, [&](int flags) { return openat(directory, name, flags); });
}

int OpenPath(const std::string& path, OpenFor purpose, Resolve resolve, Descriptor* fd) {
  if (!PlainPath(path)) {
    return EINVAL;
  }
  if (resolve == Resolve::kBest) {
    const int error = OpenPolitely(purpose, fd, [&](int flags) {
      struct open_how how = {};
      how.flags = static_cast<unsigned>(flags);
      how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
      return static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how)));
    });
    if (error != ENOSYS && error != EPERM) {
      return error;
    }
  }
  return OpenByComponent(path, purpose, fd);
}

std::string Printable(std::string_view text, size_t most) {
  constexpr char kHex[] = "0123456789abcdef";
  constexpr std::string_view kGap = "...";
  // Either end of the text at a time, so that a long one costs no more than what is shown of it.
  const auto one = [&](char c) -> std::string {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      return {c};
    }
    return {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  };
  std::string shown;
  for (size_t i = 0; i < text.size() && shown.size() <= most; ++i) {
    shown += one(text[i]);
  }
  if (shown.size() <= most) {
    return shown;
  }
  const size_t half = (most - kGap.size()) / 2;
  std::string head;
  for (size_t i = 0; head.size() + one(text[i]).size() <= half; ++i) {
    head += one(text[i]);
  }
  std::string tail;
  for (size_t i = text.size(); tail.size() + one(text[i - 1]).size() <= half; --i) {
    tail.insert(0, one(text[i - 1]));
  }
  return head + std::string(kGap) + tail;
}

}  // namespace hosting

// Opening what a web root names, and what lies there, without following a symbolic link.
//
// Purpose: the few system calls of a walk (web_walk.h), each with its safe flags in one place. A
// customer may rename, replace and link whatever is below a root at any moment; nothing here leads
// out of it.
// Ownership: what is opened is handed out. Processes, threads: no shared state.
// Failure modes: errno values, as the callers tell "gone" from "denied" by them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

#include "quota/descriptor.h"

namespace hosting {

// Which file it is, whatever its name.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
  friend bool operator<(const FileId& a, const FileId& b) {
    return std::tie(a.device, a.inode) < std::tie(b.device, b.inode);
  }
};

// What a walk asks about a file.
struct FileFacts {
  FileId id;
  uint64_t mount = 0;      // 0: the kernel (before 5.8) does not tell
  uint64_t allocated = 0;  // bytes
  uint64_t size = 0;       // bytes
  uint32_t links = 0;
  uint32_t uid = 0;
  uint16_t mode = 0;  // with the type

  [[nodiscard]] bool is_directory() const { return S_ISDIR(mode); }
  [[nodiscard]] bool same_mount(const FileFacts& other) const {
    return id.device == other.id.device && mount == other.mount;
  }
};

// Of `name` in the open directory, a link itself and no automount; of the descriptor itself when
// `name` is empty. What a network file system has cached will do. Returns 0 or the errno value.
int ReadFacts(int directory, const char* name, FileFacts* facts);

// How a directory is opened.
enum class OpenFor {
  kListing,  // reading its names, without changing its access time where that is allowed
  kPassing,  // looking up in it only (O_PATH): works without permission to read
};

// A directory right below another one. Returns 0 or the errno value: ELOOP or ENOTDIR for a link.
int OpenBelow(int directory, const char* name, OpenFor purpose, Descriptor* fd);

// How an absolute path is resolved: by openat2, or one component at a time where the kernel (before
// 5.6) or a seccomp filter has no such call. kByComponent is for tests.
enum class Resolve { kBest, kByComponent };

// The directory that an absolute path names; no component of it may be a symbolic link (ELOOP;
// ENOTDIR for other files) nor "." or "..". Returns 0 or the errno value.
int OpenPath(const std::string& path, OpenFor purpose, Resolve resolve, Descriptor* fd);

// The text with everything but printable ASCII as \xNN, at most `most` (at least 16) bytes: what is
// too long loses its middle.
std::string Printable(std::string_view text, size_t most);

}  // namespace hosting

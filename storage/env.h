// Env: the one seam through which storage/ touches the file system.
//
// Purpose: everything that can fail or be cut off by a power loss passes here, so that tests can
// fail the N-th call or drop what was not synced. LMDB does its own file work; tests interpose that
// separately.
// Ownership: an Env outlives everything opened through it. Files close on destruction.
// Processes: descriptors are close-on-exec.
// Failure: errno becomes a Status by Status::FromErrno, naming the operation and the path
// ("write(/path) failed: No space left on device"). EINTR is retried, short transfers are
// continued, inside the implementation. A symbolic link in place of a file is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/status.h"

namespace lbox {

class File {
 public:
  virtual ~File() = default;
  // Reads up to size bytes at offset; fewer only at the end of the file.
  virtual Result<size_t> ReadAt(uint64_t offset, void* data, size_t size) = 0;
  // Writes all or fails.
  virtual Status WriteAt(uint64_t offset, const void* data, size_t size) = 0;
  // Durable after this: the file's data and size (fdatasync).
  virtual Status Sync() = 0;
  // A hint, before a Sync that comes later: starts writing, and waits for nothing.
  virtual void StartSync() {}
  virtual Result<uint64_t> Size() = 0;
  virtual int descriptor() const = 0;  // for flock and fstat; -1 when there is none
};

struct FileInfo {
  uint64_t size = 0;
  uint64_t allocated = 0;  // st_blocks * 512
  uint64_t device = 0, inode = 0;
  uint32_t uid = 0;
  uint32_t links = 0;
  bool directory = false;
};

class Env {
 public:
  virtual ~Env() = default;
  static Env* Default();  // the real file system

  virtual Result<std::unique_ptr<File>> OpenRead(const std::string& path) = 0;
  virtual Result<std::unique_ptr<File>> OpenReadWrite(const std::string& path) = 0;
  // For reading and writing. exclusive: kAborted when there; else opened as it is, not truncated.
  // What it creates gets the mode as given (umask does not apply) and group gid (-1: leave); the
  // group's bits are left out when that group may not be given (EPERM).
  virtual Result<std::unique_ptr<File>> Create(const std::string& path, bool exclusive,
                                               uint32_t mode, int64_t gid) = 0;
  // One level. Ok, and left as it is, when it exists.
  virtual Status MakeDirectory(const std::string& path, uint32_t mode, int64_t gid) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // kAborted when `to` is there.
  virtual Status Link(const std::string& from, const std::string& to) = 0;
  virtual Status Unlink(const std::string& path) = 0;  // kNotFound when absent
  // Durable after this: names created, removed or renamed in the directory (fsync of the
  // directory).
  virtual Status SyncDirectory(const std::string& path) = 0;
  virtual Result<FileInfo> Stat(const std::string& path) = 0;  // follows symbolic links
  // Names in the directory, "." and ".." left out, in no order.
  virtual Status List(const std::string& path,
                      const std::function<void(const std::string& name)>& visit) = 0;
};

}  // namespace lbox

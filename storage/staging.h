// Where staged bodies wait for Save: a few in memory, large ones in files of their own, the rest in
// one nameless file.
//
// Purpose: what a transaction may stage (COPY 1:* from another storage, a long MULTIAPPEND, doveadm
// import) has no bound, but the memory of a mail process has.
// Ownership: a Store has one StagingArea and shares it with its writers and staged bodies.
// Processes: not shared.
// Crash rule: BodySpool leaves at most a file in tmp/, which Maintain sweeps; the nameless file
// leaves nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/checksum.h"
#include "storage/env.h"
#include "storage/status.h"

namespace lbox {

struct StagingOptions {
  Env* env = nullptr;
  std::string directory;  // tmp/ of the store; must exist
  // l/ of the store; empty: large bodies share no file with other stores.
  std::string large_directory = {};
  uint32_t mode = 0600;  // of files
  int64_t gid = -1;      // -1: leave
  bool sync = true;      // false: large bodies are not flushed
  // Of small bodies' frames; beyond it they go to the nameless file.
  size_t memory_bytes = 4 * 1024 * 1024;
};

// Bytes put aside; they live as long as this.
class Parked {
 public:
  virtual ~Parked() = default;
  virtual size_t size() const = 0;
  // All of `size` bytes from `offset`, or why not.
  virtual Status Read(size_t offset, void* data, size_t size) const = 0;
};

class BodySpool;

class StagingArea : public std::enable_shared_from_this<StagingArea> {
 public:
  static std::shared_ptr<StagingArea> Create(StagingOptions options);
  const StagingOptions& options() const { return options_; }
  // Puts the bytes aside, in memory or, beyond memory_bytes, in the nameless file.
  Result<std::unique_ptr<Parked>> Park(std::string bytes);

 private:
  friend class BodySpool;
  class InMemory;
  class InFile;
  struct Overflow;
  explicit StagingArea(StagingOptions options) : options_(std::move(options)) {}

  const StagingOptions options_;
  size_t memory_used_ = 0;
  std::vector<BodySpool*> unflushed_;  // large bodies that wait for their Sync, a descriptor each
  // Owned by what lies in it: its space is free once all of that is gone.
  std::weak_ptr<Overflow> overflow_;
};

// The stored bytes of one body as they come: in memory while few, then in a file laid out as in l/
// (docs/format.md).
class BodySpool {
 public:
  explicit BodySpool(std::shared_ptr<StagingArea> area) : area_(std::move(area)) {}
  ~BodySpool();  // unlinks the file unless Disown was called
  BodySpool(const BodySpool&) = delete;
  BodySpool& operator=(const BodySpool&) = delete;

  Status Append(const void* data, size_t size);
  // No more bytes. Large: the file is complete; a Sync and a name in l/ are missing. It may be a
  // link to another store's (storage/large_original.h).
  Status Finish();
  // Large: durable after this, unless switched off. Apart from Finish, since flushes of many files
  // cost little more than one, once the system has begun to write them all. Finish of a later body
  // of the same area may have done it; what came of it is returned here, and to each later call: a
  // second flush after a failure would pass without having written anything.
  Status Sync();

  Env* env() const { return area_->options().env; }
  bool large() const { return large_id_ != 0; }
  uint64_t large_id() const { return large_id_; }
  uint64_t stored() const { return stored_; }
  uint64_t hash() const { return hasher_.Digest(); }
  const std::string& path() const { return path_; }     // of the file; empty unless large
  const std::string& bytes() const { return buffer_; }  // all, unless large
  // The file now belongs to somebody else: the saved body's, in l/ of the store.
  void Disown(const std::string& saved_as);

 private:
  void Close();
  Status Spill();
  Status Flush();

  const std::shared_ptr<StagingArea> area_;
  Hasher hasher_;
  std::string buffer_;  // what is not in the file yet
  uint64_t stored_ = 0;
  uint64_t large_id_ = 0;
  std::string path_;
  std::unique_ptr<File> file_;
  bool finished_ = false;  // and still to be flushed
  bool linked_ = false;    // to another store's file
  Status flushed_;
};

}  // namespace lbox

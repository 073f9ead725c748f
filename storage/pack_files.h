// The files in p/ and l/: their names, opened packs, and appending to packs.
//
// Ownership: one PackFiles per open store; descriptors are shared with the readers of bodies.
// Processes: not shared. Failure: as Env. A pack that is shorter than its committed tail is
// kCorruption. Crash rule: bytes beyond a pack's committed tail are garbage, and so is a pack
// without a row; both are written over.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "storage/env.h"
#include "storage/file_options.h"
#include "storage/pack_record.h"
#include "storage/rows.h"
#include "storage/status.h"
#include "storage/txn.h"

namespace lbox {

inline constexpr uint64_t kPackBytes =
    16 * 1024 * 1024;  // a pack of this size takes no further record
// Zeros that are written beyond the tail whenever a pack has to become longer: an eighth of it, but
// no more than this. A flush of bytes that replace others costs half of one that has to make the
// file longer, too.
inline constexpr uint64_t kMaxSpareBytes = 64 * 1024;

// What a body takes: its record's span in the pack and its own file, headers included.
inline uint64_t LargeBytes(const BodyRow& row) {
  return row.large_id == 0 ? 0 : kLargeHeaderBytes + uint64_t{row.body_stored};
}
inline uint64_t StoredBytes(const BodyRow& row) {
  return row.record_bytes + LargeBytes(row);
}

// The header of a large-body file that is as long as it says; nothing when there is no such file,
// or it cannot be read. The body is not looked at.
std::optional<LargeHeader> ReadLargeHeader(Env& env, const std::string& path);

class PackFiles {
 public:
  explicit PackFiles(FileOptions options) : options_(std::move(options)) {}

  [[nodiscard]] const FileOptions& options() const { return options_; }
  [[nodiscard]] std::string PackPath(uint32_t id) const;   // p/<8 hex digits>
  [[nodiscard]] std::string LargePath(uint64_t id) const;  // l/<16 hex digits>
  [[nodiscard]] std::string PathOf(const PendingFile& file) const;
  [[nodiscard]] std::string TmpPath(const std::string& name) const {
    return options_.folder + "/tmp/" + name;
  }

  // A pack opened for reading; the last few stay open.
  Result<std::shared_ptr<File>> OpenRead(uint32_t id);
  // Closes packs that are gone from the index, so that their space is free. Costs nothing while the
  // store has not changed.
  Status DropRemoved(Txn& txn);
  void Forget(uint32_t id);

  // A new file for a pack without a row; what is there by that name is garbage. Its name is durable
  // after SyncPackNames.
  Result<std::unique_ptr<File>> CreatePack(uint32_t id);
  // From now on files in p/ that the index does not know are not written over: in a damaged store
  // they may hold what is missing elsewhere.
  void KeepUnknown() { keep_unknown_ = true; }
  Status SyncPackNames();

 private:
  friend class PackAppender;
  const FileOptions options_;
  std::list<std::pair<uint32_t, std::shared_ptr<File>>> open_;  // most recently used first
  uint64_t seen_transaction_ = 0;
  uint32_t writing_id_ = 0;
  bool keep_unknown_ = false;
  std::shared_ptr<File> writing_;  // a committed pack that was appended to
  std::set<uint32_t>
      abandoned_;  // a flush of these failed: what they hold beyond their tail is not to be trusted
};

// Appends records to the active pack within one write transaction, starting new packs as they fill
// up.
class PackAppender {
 public:
  PackAppender(PackFiles& files, Txn& txn, uint32_t now) : files_(files), txn_(txn), now_(now) {}

  struct Place {
    uint32_t pack = 0, offset = 0;
  };
  // `span` bytes are taken: header, frames, padding.
  Result<Place> Append(const std::string& header, const std::string& frames, uint64_t span);
  // Durable after this: the records and the names of new packs. Puts the pack rows.
  Status Finish();
  // Where the first record is, if one was appended.
  [[nodiscard]] const std::optional<Place>& first() const { return first_; }
  // All of them are in the pack that was active before, behind its tail.
  [[nodiscard]] bool in_active_pack() const { return first_.has_value() && !created_; }

 private:
  Status Start(uint64_t span);
  Status Flush(uint64_t spare);
  Status Close();
  Status NewPack();

  PackFiles& files_;
  Txn& txn_;
  const uint32_t now_;
  uint32_t id_ = 0;  // 0: nothing appended yet
  std::shared_ptr<File> file_;
  PackRow row_;
  std::string buffer_;  // to be written at row_.tail - buffer_.size()
  uint64_t size_ = 0;   // of the file
  bool created_ = false;
  std::optional<Place> first_;
};

}  // namespace lbox

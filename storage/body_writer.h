// How a body gets from Append to what Save stores: split, compressed, hashed, and put aside
// (storage/staging.h).
//
// Ownership: writer and staged body share the staging area and whatever `keep_alive` names.
// Processes: not shared.
// Memory: below 1 MiB besides a zstd context of some 3 MiB (level 3; below 7 MiB at any), which is
// reused.
// Crash rule: as in storage/staging.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/body.h"
#include "storage/pack_record.h"
#include "storage/staging.h"
#include "storage/status.h"

namespace lbox {

struct BodyWriterOptions {
  std::shared_ptr<StagingArea> area;
  int compression_level = 3;         // as in StoreOptions
  std::shared_ptr<void> keep_alive;  // kept by the writer and by what it makes
};

std::unique_ptr<BodyWriter> NewBodyWriter(BodyWriterOptions options);

// The StagedBody that every BodyWriter gives.
class StagedBodyImpl final : public StagedBody {
 public:
  // Of all that PackRecord says about a body; see Describe.
  struct Facts {
    Codec codec = Codec::kZstd;
    uint32_t physical_size = 0, virtual_size = 0;
    uint32_t header_size = 0, header_stored = 0, body_stored = 0;
    uint64_t header_hash = 0, body_hash = 0, large_id = 0;
  };
  StagedBodyImpl(const Facts& facts, std::unique_ptr<Parked> frames,
                 std::unique_ptr<BodySpool> large, std::shared_ptr<void> keep_alive);

  uint64_t physical_size() const override { return facts_.physical_size; }
  uint64_t virtual_size() const override { return facts_.virtual_size; }
  // Bytes that its record's frames and its large file will take; not the record header.
  uint64_t stored_size() const override;

  // Sets codec, sizes, hashes and large_id of `record`; nothing else.
  void Describe(PackRecord& record) const;
  // What follows the record header in the pack: the header frame and, unless large, the body frame.
  size_t frames_bytes() const { return frames_->size(); }
  Result<std::string> Frames() const;

  // A large body waits in the file tmp_path(), complete, and durable after Sync, to be renamed to
  // l/<large_id>; then call Disown with that path, or the file is unlinked together with this
  // object.
  bool large() const { return facts_.large_id != 0; }
  uint64_t large_id() const { return facts_.large_id; }
  const std::string& tmp_path() const;
  Status Sync();
  void Disown(const std::string& saved_as);

  // Reads it back, before or (unless large) after it was saved; independent of this object but for
  // the file tmp_path(). For a large body `open` is called when its bytes are first needed; without
  // it, tmp_path() is opened.
  Result<std::unique_ptr<BodyReader>> OpenReader(
      std::function<Result<std::unique_ptr<File>>()> open = {}) const;

 private:
  const Facts facts_;
  const std::shared_ptr<void> keep_alive_;
  const std::unique_ptr<Parked> frames_;
  const std::unique_ptr<BodySpool> large_;  // null unless large
};

}  // namespace lbox

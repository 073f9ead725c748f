// Gives out the bytes of a stored body: verifies, then decompresses as far as asked.
//
// The header section is read without touching the body frame. A body frame in a pack is read and
// verified whole before its first byte is given out; a large body's file is read through once for
// that. Bodies up to kWholeBodyBytes are then kept decompressed (any order of reading is cheap),
// longer ones are decompressed as they are read: forward is cheap, back starts again.
// Ownership: keeps its file open, and `keep_alive`, until it is destroyed. Processes: not shared.
// Failure: kCorruption with the context given; what the file system says otherwise. A failed Read
// may be tried again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/body.h"
#include "storage/env.h"
#include "storage/pack_record.h"
#include "storage/status.h"

namespace lbox {

inline constexpr size_t kWholeBodyBytes = 256 * 1024;  // decompressed

struct BodyReaderOptions {
  PackRecord record;         // codec, sizes, hashes and large_id are used
  std::string header_frame;  // record.header_stored bytes, not verified yet

  // The body frame; exactly one of these, and none when record.body_stored is 0:
  std::string body_frame;      // the bytes themselves
  std::shared_ptr<File> pack;  // at body_offset in this file
  uint64_t body_offset = 0;
  // large_id != 0: called when the first byte of the body is needed.
  std::function<Result<std::unique_ptr<File>>()> open_large;

  // For messages: "pack p/00000007 record at 8192 (mailbox <guid> UID 12)".
  std::function<std::string()> context;
  std::shared_ptr<void> keep_alive;
};

std::unique_ptr<BodyReader> NewBodyReader(BodyReaderOptions options);

}  // namespace lbox

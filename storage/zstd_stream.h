// One stored body frame read forward: the stored bytes, and what they decompress to.
//
// Ownership: the source must outlive the stream. Failure: as in storage/body_reader.h; after one,
// the stream is of no more use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/env.h"
#include "storage/status.h"
#include "storage/zstd_context.h"

namespace lbox {

// The stored bytes of a frame, in memory or in a file.
class FrameSource {
 public:
  explicit FrameSource(std::string bytes) : bytes_(std::move(bytes)), size_(bytes_.size()) {}
  FrameSource(std::shared_ptr<File> file, uint64_t offset, uint64_t size)
      : file_(std::move(file)), offset_(offset), size_(size) {}

  uint64_t size() const { return size_; }
  // All of `size` bytes from `position`; kCorruption when the file ends before.
  Status Read(uint64_t position, void* data, size_t size) const;
  // XXH3-64 of all bytes, read once.
  Result<uint64_t> Hash() const;

 private:
  std::string bytes_;
  std::shared_ptr<File> file_;
  uint64_t offset_ = 0;
  uint64_t size_;
};

// Decompresses a frame that must hold exactly `raw_size` bytes.
class ZstdStream {
 public:
  static Result<std::unique_ptr<ZstdStream>> Open(const FrameSource& source, uint64_t raw_size);

  uint64_t position() const { return position_; }
  // The next `size` bytes; the caller asks for no more than raw_size in all. kCorruption when the
  // frame is not valid, or ends early, or, together with the last byte, when it does not end there.
  Status Read(void* data, size_t size);
  // Passes over bytes up to `position`, which is not behind.
  Status SkipTo(uint64_t position);

 private:
  ZstdStream(const FrameSource& source, uint64_t raw_size, Decompressor context)
      : source_(source), raw_size_(raw_size), context_(std::move(context)) {}
  Status Step(ZSTD_outBuffer& out);

  const FrameSource& source_;
  const uint64_t raw_size_;
  Decompressor context_;
  uint64_t position_ = 0;  // raw
  uint64_t fetched_ = 0;   // stored bytes put into chunk_ so far
  std::string chunk_;      // the latest of them
  ZSTD_inBuffer in_{};     // within chunk_
  bool ended_ = false;     // the frame is complete
};

}  // namespace lbox

// Message bodies on their way in (BodyWriter, StagedBody) and out (BodyReader).
//
// A message is kept as two zstd frames: the header section (up to and including the blank line)
// with the first byte after it, by which a parser knows that the header is over (at most
// kMaxHeaderFrame bytes; any split is valid), and the rest, so that reading headers never
// decompresses a body. A plugin's own encoding is kept opaque: one piece, as it came. Ownership:
// all three keep their store alive. Processes: not shared. Crash rule: a staged body leaves at most
// a file in tmp/, which Maintain sweeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "storage/status.h"

namespace lbox {

inline constexpr size_t kMaxHeaderFrame = 256 * 1024;  // raw bytes
// Stored bytes above which a body gets its own file (docs/design.md).
inline constexpr size_t kLargeBodyBytes = 128 * 1024;
inline constexpr uint64_t kMaxMessageBytes = 0xFFFFFFF0;  // RFC 3501 numbers are 32 bit

// A body ready to be saved: compressed, in memory or in tmp/. Removing it unsaved removes its file.
class StagedBody {
 public:
  virtual ~StagedBody() = default;
  virtual uint64_t physical_size() const = 0;
  virtual uint64_t virtual_size() const = 0;
  virtual uint64_t stored_size() const = 0;  // compressed
};

class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // Before the first Append: what follows is some plugin's encoding; keep it as it is.
  virtual void SetOpaque() = 0;
  virtual Status Append(const void* data, size_t size) = 0;
  // Sizes of the message itself: bytes as saved, and with every line ending CRLF (both before a
  // plugin's encoding). kInvalid when a size exceeds kMaxMessageBytes or, unless opaque,
  // physical_size differs from what was appended.
  virtual Result<std::unique_ptr<StagedBody>> Finish(uint64_t physical_size,
                                                     uint64_t virtual_size) = 0;
};

// What is wanted of a body first, so that no more is read. The rest can be read all the same.
enum class BodyPart { kHeader, kAll };

// Reads the bytes as appended, from any offset. Checks hashes before it gives out bytes: never
// wrong bytes, kCorruption instead.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  virtual bool opaque() const = 0;
  // Bytes that Read will give in all: the physical size, or the encoded size when opaque.
  virtual uint64_t size() const = 0;
  // Up to `size` bytes from `offset`, at least one; 0 only at the end. Stops at the end of the
  // header frame, so that who reads the header never waits for the body. Sequential reading is
  // cheap; going back may decompress again from the frame's start.
  virtual Result<size_t> Read(uint64_t offset, void* data, size_t size) = 0;
  // Checks all of it now (hashes of the stored bytes), so that a later Read fails only for reasons
  // of the system.
  virtual Status Verify() = 0;
};

}  // namespace lbox

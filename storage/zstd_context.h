// zstd contexts and buffers that are used again: making one costs more than compressing a common
// message with it.
//
// Process-wide, one idle context of each kind is kept, unless it has grown beyond 4 MiB. Streams
// have one of their own: it is so much larger than what single frames need that zstd would shrink
// it for these, and grow it again. A stream takes some 3 MiB at level 3 and less than 7 MiB at any,
// frames 1 MiB, decompressing 1.5 MiB. A null context means out of memory.
#pragma once

#include <memory>
#include <string>

#include <zstd.h>

#include "storage/status.h"

namespace lbox {

// Frames of any level need at most this window (1 MiB) to be read: memory is short in a mail
// process.
inline constexpr int kWindowLog = 20;

struct ReleaseStreamCompressor {
  void operator()(ZSTD_CCtx* context) const;
};
struct ReleaseDecompressor {
  void operator()(ZSTD_DCtx* context) const;
};
using StreamCompressor = std::unique_ptr<ZSTD_CCtx, ReleaseStreamCompressor>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, ReleaseDecompressor>;

// As new, with level and window set.
StreamCompressor TakeStreamCompressor(int level);
// As new, with the window limited.
Decompressor TakeDecompressor();

// One frame of all of `raw`; kUnavailable when out of memory.
Result<std::string> CompressFrame(const std::string& raw, int level);

// An empty string with room for kScratchBytes, which it has from an earlier message: a string that
// grew with each would fault its pages in anew, and leave holes in the heap. Give it back.
inline constexpr size_t kScratchBytes = 160 * 1024;
std::string TakeScratch();
void ReturnScratch(std::string scratch);

// kUnavailable when out of memory, else `code` with zstd's own words.
Status ZstdError(size_t result, Code code, const std::string& what);

}  // namespace lbox

// zstd contexts that are used again: making one costs more than compressing a common message with
// it.
//
// Process-wide, one idle context of each kind is kept, unless it has grown beyond 4 MiB.
// Compressing takes some 3 MiB at level 3 and less than 7 MiB at any, decompressing 1.5 MiB. A null
// context means out of memory.
#pragma once

#include <memory>
#include <string>

#include <zstd.h>

#include "storage/status.h"

namespace lbox {

// Frames of any level need at most this window (1 MiB) to be read: memory is short in a mail
// process.
inline constexpr int kWindowLog = 20;

struct ReleaseCompressor {
  void operator()(ZSTD_CCtx* context) const;
};
struct ReleaseDecompressor {
  void operator()(ZSTD_DCtx* context) const;
};
using Compressor = std::unique_ptr<ZSTD_CCtx, ReleaseCompressor>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, ReleaseDecompressor>;

// As new, with level and window set.
Compressor TakeCompressor(int level);
// As new, with the window limited.
Decompressor TakeDecompressor();

// One frame of all of `raw`; kUnavailable when out of memory.
Result<std::string> CompressFrame(const std::string& raw, int level);

// kUnavailable when out of memory, else `code` with zstd's own words.
Status ZstdError(size_t result, Code code, const std::string& what);

}  // namespace lbox

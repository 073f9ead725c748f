#include "storage/zstd_context.h"

#include <atomic>
#include <utility>
#include <vector>

#include <zstd_errors.h>

namespace lbox {
namespace {

constexpr size_t kKeepBytes = 4 * 1024 * 1024;

// From this level on zstd's tables would take up to 80 MiB for input of unknown length; 2 MiB each
// are near as good on mail.
constexpr int kLargeTablesLevel = 6;
constexpr int kTableLog = 19;

// Room for one idle context; freed with the module.
template <typename Context, size_t (*kFree)(Context*)>
class Slot {
 public:
  ~Slot() { kFree(idle_.load()); }
  Context* Take() { return idle_.exchange(nullptr); }
  void Put(Context* context) { kFree(idle_.exchange(context)); }

 private:
  std::atomic<Context*> idle_{nullptr};
};

using CompressorSlot = Slot<ZSTD_CCtx, ZSTD_freeCCtx>;
CompressorSlot frame_compressors, stream_compressors;
Slot<ZSTD_DCtx, ZSTD_freeDCtx> decompressors;
std::vector<std::string> idle_scratch;
constexpr size_t kMostIdleScratch = 2;  // a message takes one raw and one compressed

void Release(CompressorSlot& slot, ZSTD_CCtx* context) {
  if (ZSTD_sizeof_CCtx(context) > kKeepBytes) {
    ZSTD_freeCCtx(context);
  } else {
    slot.Put(context);
  }
}

// As new, with level and window set.
ZSTD_CCtx* Take(CompressorSlot& slot, int level) {
  ZSTD_CCtx* context = slot.Take();
  if (context == nullptr) {
    context = ZSTD_createCCtx();
  }
  if (context != nullptr) {
    // None of these can fail: the context is idle and the values are in range.
    ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, kWindowLog);
    if (level >= kLargeTablesLevel) {
      ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, kTableLog);
      ZSTD_CCtx_setParameter(context, ZSTD_c_chainLog, kTableLog);
    }
  }
  return context;
}

struct ReleaseFrameCompressor {
  void operator()(ZSTD_CCtx* context) const { Release(frame_compressors, context); }
};

}  // namespace

void ReleaseStreamCompressor::operator()(ZSTD_CCtx* context) const {
  Release(stream_compressors, context);
}

void ReleaseDecompressor::operator()(ZSTD_DCtx* context) const {
  if (ZSTD_sizeof_DCtx(context) > kKeepBytes) {
    ZSTD_freeDCtx(context);
  } else {
    decompressors.Put(context);
  }
}

StreamCompressor TakeStreamCompressor(int level) {
  return StreamCompressor(Take(stream_compressors, level));
}

Decompressor TakeDecompressor() {
  Decompressor context(decompressors.Take());
  if (context == nullptr) {
    context.reset(ZSTD_createDCtx());
  }
  if (context != nullptr) {
    ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowLog);
  }
  return context;
}

Result<std::string> CompressFrame(const std::string& raw, int level) {
  const std::unique_ptr<ZSTD_CCtx, ReleaseFrameCompressor> context(Take(frame_compressors, level));
  if (context == nullptr) {
    return Status(Code::kUnavailable, "compressing a message: out of memory");
  }
  const size_t room = ZSTD_compressBound(raw.size());
  const std::unique_ptr<char[]> frame(new char[room]);  // which make_unique would fill
  const size_t size = ZSTD_compress2(context.get(), frame.get(), room, raw.data(), raw.size());
  if (ZSTD_isError(size)) {
    return ZstdError(size, Code::kInvalid, "compressing a message");
  }
  return std::string(frame.get(), size);
}

std::string TakeScratch() {
  std::string scratch;
  if (!idle_scratch.empty()) {
    scratch = std::move(idle_scratch.back());
    idle_scratch.pop_back();
  }
  scratch.reserve(kScratchBytes);
  return scratch;
}

void ReturnScratch(std::string scratch) {
  if (scratch.capacity() >= kScratchBytes && scratch.capacity() <= 2 * kScratchBytes &&
      idle_scratch.size() < kMostIdleScratch) {
    scratch.clear();
    idle_scratch.push_back(std::move(scratch));
  }
}

Status ZstdError(size_t result, Code code, const std::string& what) {
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
    return Status(Code::kUnavailable, what + ": out of memory");
  }
  return Status(code, what + ": " + ZSTD_getErrorName(result));
}

}  // namespace lbox

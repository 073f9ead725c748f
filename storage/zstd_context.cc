#include "storage/zstd_context.h"

#include <atomic>

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

Slot<ZSTD_CCtx, ZSTD_freeCCtx> compressors;
Slot<ZSTD_DCtx, ZSTD_freeDCtx> decompressors;

}  // namespace

void ReleaseCompressor::operator()(ZSTD_CCtx* context) const {
  if (ZSTD_sizeof_CCtx(context) > kKeepBytes) {
    ZSTD_freeCCtx(context);
  } else {
    compressors.Put(context);
  }
}

void ReleaseDecompressor::operator()(ZSTD_DCtx* context) const {
  if (ZSTD_sizeof_DCtx(context) > kKeepBytes) {
    ZSTD_freeDCtx(context);
  } else {
    decompressors.Put(context);
  }
}

Compressor TakeCompressor(int level) {
  Compressor context(compressors.Take());
  if (context == nullptr) {
    context.reset(ZSTD_createCCtx());
  }
  if (context != nullptr) {
    // None of these can fail: the context is idle and the values are in range.
    ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, kWindowLog);
    if (level >= kLargeTablesLevel) {
      ZSTD_CCtx_setParameter(context.get(), ZSTD_c_hashLog, kTableLog);
      ZSTD_CCtx_setParameter(context.get(), ZSTD_c_chainLog, kTableLog);
    }
  }
  return context;
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
  const Compressor context = TakeCompressor(level);
  if (context == nullptr) {
    return Status(Code::kUnavailable, "compressing a message: out of memory");
  }
  std::string frame(ZSTD_compressBound(raw.size()), '\0');
  const size_t size =
      ZSTD_compress2(context.get(), frame.data(), frame.size(), raw.data(), raw.size());
  if (ZSTD_isError(size)) {
    return ZstdError(size, Code::kInvalid, "compressing a message");
  }
  frame.resize(size);
  return frame;
}

Status ZstdError(size_t result, Code code, const std::string& what) {
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
    return Status(Code::kUnavailable, what + ": out of memory");
  }
  return Status(code, what + ": " + ZSTD_getErrorName(result));
}

}  // namespace lbox

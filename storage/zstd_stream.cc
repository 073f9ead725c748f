#include "storage/zstd_stream.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "storage/checksum.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr size_t kChunkBytes = 128 * 1024;

}  // namespace

Status FrameSource::Read(uint64_t position, void* data, size_t size) const {
  assert(position <= size_ && size <= size_ - position);
  if (file_ == nullptr) {
    memcpy(data, bytes_.data() + position, size);
    return {};
  }
  LBOX_ASSIGN_OR_RETURN(const size_t got, file_->ReadAt(offset_ + position, data, size));
  if (got != size) {
    return Status(Code::kCorruption, "the file ends before its body");
  }
  return {};
}

Result<uint64_t> FrameSource::Hash() const {
  if (file_ == nullptr) {
    return Hash64(bytes_.data(), bytes_.size());
  }
  Hasher hasher;
  std::string chunk(std::min<uint64_t>(size_, kChunkBytes), '\0');
  for (uint64_t position = 0; position < size_;) {
    const size_t size = std::min<uint64_t>(size_ - position, chunk.size());
    LBOX_RETURN_IF_ERROR(Read(position, chunk.data(), size));
    hasher.Update(chunk.data(), size);
    position += size;
  }
  return hasher.Digest();
}

Result<std::unique_ptr<ZstdStream>> ZstdStream::Open(const FrameSource& source, uint64_t raw_size) {
  Decompressor context = TakeDecompressor();
  if (context == nullptr) {
    return Status(Code::kUnavailable, "decompressing a message: out of memory");
  }
  return std::unique_ptr<ZstdStream>(new ZstdStream(source, raw_size, std::move(context)));
}

// Lets zstd go on for one call; an empty `out` only serves to see the frame's end.
Status ZstdStream::Step(ZSTD_outBuffer& out) {
  if (in_.pos == in_.size) {
    if (fetched_ == source_.size()) {
      return Status(Code::kCorruption, "the frame is not complete");
    }
    chunk_.resize(std::min<uint64_t>(source_.size() - fetched_, kChunkBytes));
    LBOX_RETURN_IF_ERROR(source_.Read(fetched_, chunk_.data(), chunk_.size()));
    fetched_ += chunk_.size();
    in_ = {chunk_.data(), chunk_.size(), 0};
  }
  const size_t in_before = in_.pos;
  const size_t out_before = out.pos;
  const size_t left = ZSTD_decompressStream(context_.get(), &out, &in_);
  if (ZSTD_isError(left)) {
    return ZstdError(left, Code::kCorruption, "decompressing");
  }
  ended_ = left == 0;
  if (!ended_ && in_.pos == in_before && out.pos == out_before) {
    return Status(Code::kCorruption, "the frame holds more than the message");
  }
  return {};
}

Status ZstdStream::Read(void* data, size_t size) {
  assert(size <= raw_size_ - position_);
  ZSTD_outBuffer out{data, size, 0};
  while (out.pos < out.size) {
    if (ended_) {
      return Status(Code::kCorruption, "the frame holds less than the message");
    }
    LBOX_RETURN_IF_ERROR(Step(out));
  }
  position_ += size;
  if (position_ < raw_size_) {
    return {};
  }
  while (!ended_) {
    LBOX_RETURN_IF_ERROR(Step(out));
  }
  if (in_.pos != in_.size || fetched_ != source_.size()) {
    return Status(Code::kCorruption, "something follows the frame");
  }
  return {};
}

Status ZstdStream::SkipTo(uint64_t position) {
  assert(position >= position_);
  std::string skipped(std::min<uint64_t>(position - position_, kChunkBytes), '\0');
  while (position_ < position) {
    LBOX_RETURN_IF_ERROR(
        Read(skipped.data(), std::min<uint64_t>(position - position_, skipped.size())));
  }
  return {};
}

}  // namespace lbox

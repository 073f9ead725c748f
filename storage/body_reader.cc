#include "storage/body_reader.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "storage/checksum.h"
#include "storage/status_macros.h"
#include "storage/zstd_context.h"
#include "storage/zstd_stream.h"

namespace lbox {
namespace {

class BodyReaderImpl final : public BodyReader {
 public:
  explicit BodyReaderImpl(BodyReaderOptions options) : options_(std::move(options)) {}

  bool opaque() const override { return record().codec == Codec::kOpaque; }

  uint64_t size() const override {
    return opaque() ? record().body_stored : record().physical_size;
  }

  Result<size_t> Read(uint64_t offset, void* data, size_t size) override {
    if (offset >= this->size() || size == 0) {
      return size_t{0};
    }
    const bool in_header = offset < record().header_size;
    const uint64_t end = in_header ? record().header_size : this->size();
    size = std::min<uint64_t>(size, end - offset);
    Status status = in_header ? ReadHeader(offset, data, size)
                              : ReadBody(offset - record().header_size, data, size);
    if (!status.ok()) {
      return InContext(std::move(status));
    }
    return size;
  }

  Status Verify() override {
    LBOX_RETURN_IF_ERROR(InContext(CheckRecord()));
    char byte = 0;
    if (record().header_size > 0) {
      LBOX_RETURN_IF_ERROR(InContext(ReadHeader(0, &byte, 1)));
    }
    return raw_body_size() == 0 ? Status() : InContext(PrepareBody());
  }

 private:
  const PackRecord& record() const { return options_.record; }
  uint64_t raw_body_size() const { return size() - record().header_size; }

  // Damage is told with the message it hit; what the system says names its file already.
  Status InContext(Status status) const {
    if (status.code() != Code::kCorruption || !options_.context) {
      return status;
    }
    return Status(Code::kCorruption, options_.context() + ": " + status.message());
  }

  Status CheckRecord() const {
    const PackRecord& r = record();
    const bool plausible =
        opaque() ? r.header_size == 0 && r.header_stored == 0
                 : r.header_size <= kMaxHeaderFrame && r.header_size <= r.physical_size &&
                       (r.header_size == 0) == (r.header_stored == 0) &&
                       (r.header_size == r.physical_size) == (r.body_stored == 0);
    if (!plausible || options_.header_frame.size() != r.header_stored) {
      return Status(Code::kCorruption, "sizes that do not fit each other");
    }
    return {};
  }

  Status ReadHeader(uint64_t offset, void* data, size_t size) {
    if (!header_.has_value()) {
      LBOX_ASSIGN_OR_RETURN(header_, LoadHeader());
    }
    memcpy(data, header_->data() + offset, size);
    return {};
  }

  Result<std::string> LoadHeader() const {
    LBOX_RETURN_IF_ERROR(CheckRecord());
    const std::string& frame = options_.header_frame;
    if (Hash64(frame.data(), frame.size()) != record().header_hash) {
      return Status(Code::kCorruption, "wrong hash of the header section");
    }
    const Decompressor context = TakeDecompressor();
    if (context == nullptr) {
      return Status(Code::kUnavailable, "decompressing a message: out of memory");
    }
    std::string header(record().header_size, '\0');
    const size_t got = ZSTD_decompressDCtx(context.get(), header.data(), header.size(),
                                           frame.data(), frame.size());
    if (ZSTD_isError(got)) {
      return ZstdError(got, Code::kCorruption, "decompressing the header section");
    }
    if (got != header.size()) {
      return Status(Code::kCorruption, "the header section has not its length");
    }
    return header;
  }

  Status ReadBody(uint64_t offset, void* data, size_t size) {
    LBOX_RETURN_IF_ERROR(PrepareBody());
    if (!whole_.empty()) {
      memcpy(data, whole_.data() + offset, size);
      return {};
    }
    if (opaque()) {
      return source_->Read(offset, data, size);
    }
    Status status = ReadStream(offset, data, size);
    if (!status.ok()) {
      stream_.reset();
    }
    return status;
  }

  Status ReadStream(uint64_t offset, void* data, size_t size) {
    if (stream_ == nullptr || stream_->position() > offset) {
      stream_.reset();  // first: its context is used again
      LBOX_ASSIGN_OR_RETURN(stream_, ZstdStream::Open(*source_, raw_body_size()));
    }
    LBOX_RETURN_IF_ERROR(stream_->SkipTo(offset));
    return stream_->Read(data, size);
  }

  Status PrepareBody() { return source_ == nullptr && whole_.empty() ? OpenBody() : Status(); }

  // Verified when it returns ok: what the body is read from.
  Status OpenBody() {
    LBOX_RETURN_IF_ERROR(CheckRecord());
    std::unique_ptr<FrameSource> source;
    if (record().large_id != 0) {
      LBOX_ASSIGN_OR_RETURN(source, OpenLarge());
    } else {
      LBOX_ASSIGN_OR_RETURN(source, LoadSmall());
    }
    LBOX_ASSIGN_OR_RETURN(const uint64_t hash, source->Hash());
    if (hash != record().body_hash) {
      return Status(Code::kCorruption, "wrong hash of the body");
    }
    if (!opaque() && raw_body_size() <= kWholeBodyBytes) {
      std::string whole(raw_body_size(), '\0');
      LBOX_ASSIGN_OR_RETURN(const auto stream, ZstdStream::Open(*source, whole.size()));
      LBOX_RETURN_IF_ERROR(stream->Read(whole.data(), whole.size()));
      whole_ = std::move(whole);
    } else {
      source_ = std::move(source);
    }
    return {};
  }

  Result<std::unique_ptr<FrameSource>> LoadSmall() {
    const uint32_t stored = record().body_stored;
    if (stored > kLargeBodyBytes) {
      return Status(Code::kCorruption, "sizes that do not fit each other");
    }
    std::string frame;
    if (options_.pack == nullptr) {
      frame = options_.body_frame;
    } else {
      frame.resize(stored);
      LBOX_RETURN_IF_ERROR(FrameSource(options_.pack, options_.body_offset, stored)
                               .Read(0, frame.data(), frame.size()));
    }
    if (frame.size() != stored) {
      return Status(Code::kCorruption, "sizes that do not fit each other");
    }
    return std::make_unique<FrameSource>(std::move(frame));
  }

  Result<std::unique_ptr<FrameSource>> OpenLarge() const {
    LBOX_ASSIGN_OR_RETURN(std::shared_ptr<File> file, options_.open_large());
    std::array<uint8_t, kLargeHeaderBytes> bytes;
    LBOX_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(0, bytes.data(), bytes.size()));
    LBOX_ASSIGN_OR_RETURN(const LargeHeader header, DecodeLargeHeader(std::span(bytes).first(got)));
    if (header.large_id != record().large_id || header.body_stored != record().body_stored ||
        header.body_hash != record().body_hash) {
      return Status(Code::kCorruption, "the large body's file is that of another message");
    }
    LBOX_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    if (size != kLargeHeaderBytes + header.body_stored) {
      return Status(Code::kCorruption, "the large body's file has " + std::to_string(size) +
                                           " bytes instead of " +
                                           std::to_string(kLargeHeaderBytes + header.body_stored));
    }
    return std::make_unique<FrameSource>(std::move(file), kLargeHeaderBytes, header.body_stored);
  }

  const BodyReaderOptions options_;
  std::optional<std::string> header_;    // decompressed
  std::string whole_;                    // the body decompressed, when short
  std::unique_ptr<FrameSource> source_;  // else: its verified frame
  std::unique_ptr<ZstdStream> stream_;   // on source_; once it was read
};

}  // namespace

std::unique_ptr<BodyReader> NewBodyReader(BodyReaderOptions options) {
  return std::make_unique<BodyReaderImpl>(std::move(options));
}

}  // namespace lbox

#include "storage/body_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "storage/body_reader.h"
#include "storage/checksum.h"
#include "storage/status_macros.h"
#include "storage/zstd_context.h"

namespace lbox {
namespace {

// Bodies up to this size are compressed in one piece: zstd then sizes its tables by them, which
// makes small messages cheap.
constexpr size_t kOnePieceBytes = 128 * 1024;
constexpr size_t kOutputBytes = 32 * 1024;

// And at a level of their own: on real mail level 1 takes a third less time than level 3 for 1 %
// more bytes (docs/design.md); on attachments, which are longer, it would be 11 %.
constexpr int kPieceLevel = 1;
constexpr int kDefaultLevel = 3;
int PieceLevel(int level) {
  return level <= kDefaultLevel ? kPieceLevel : level;
}
constexpr uint64_t kMaxStoredBytes = 0xFFFFFFFF;

// Finds the end of the header frame: the first empty line, its line ending included, and one byte
// more: a parser looks that far to see that no folded line follows, which must not cost it a body.
class HeaderEnd {
 public:
  // `header` is all of the message so far, and begins with what was given before. Where the body
  // frame starts, once that is known.
  std::optional<size_t> Find(const std::string& header) {
    for (;;) {
      const size_t newline = header.find('\n', next_);
      if (newline == std::string::npos) {
        next_ = header.size();
        return std::nullopt;
      }
      const size_t length = newline - line_;
      if (length == 0 || (length == 1 && header[line_] == '\r')) {
        if (newline + 1 < header.size()) {
          return newline + 2;
        }
        next_ = newline;
        return std::nullopt;
      }
      line_ = next_ = newline + 1;
    }
  }

 private:
  size_t line_ = 0;  // start of the line
  size_t next_ = 0;  // no line ending before this
};

class BodyWriterImpl final : public BodyWriter {
 public:
  explicit BodyWriterImpl(BodyWriterOptions options)
      : options_(std::move(options)), spool_(std::make_unique<BodySpool>(options_.area)) {
    options_.compression_level = std::clamp(options_.compression_level, 1, 19);
  }
  ~BodyWriterImpl() override { ReturnScratch(std::move(pending_)); }
  BodyWriterImpl(const BodyWriterImpl&) = delete;
  BodyWriterImpl& operator=(const BodyWriterImpl&) = delete;

  void SetOpaque() override {
    assert(appended_ == 0);
    codec_ = Codec::kOpaque;
    in_header_ = false;
  }

  Status Append(const void* data, size_t size) override {
    if (failed_.ok()) {
      failed_ = TryAppend(static_cast<const char*>(data), size);
    }
    return failed_;
  }

  Result<std::unique_ptr<StagedBody>> Finish(uint64_t physical_size,
                                             uint64_t virtual_size) override {
    if (!failed_.ok()) {
      return failed_;
    }
    failed_ = Status(Code::kInvalid, "the message is finished already");
    return TryFinish(physical_size, virtual_size);
  }

 private:
  Status TryAppend(const char* data, size_t size) {
    if (size > kMaxMessageBytes - appended_) {
      return TooLarge();
    }
    appended_ += size;
    if (in_header_) {
      const size_t taken = std::min(size, kMaxHeaderFrame - pending_.size());
      const size_t before = pending_.size();
      pending_.append(data, taken);
      const auto end = header_end_.Find(pending_);
      if (!end.has_value() && pending_.size() < kMaxHeaderFrame) {
        return {};
      }
      pending_.resize(end.value_or(pending_.size()));
      const size_t used = pending_.size() - before;
      LBOX_RETURN_IF_ERROR(FinishHeader());
      data += used;
      size -= used;
    }
    if (codec_ == Codec::kOpaque) {
      return spool_->Append(data, size);
    }
    if (stream_ == nullptr && pending_.size() + size <= kOnePieceBytes) {
      pending_.append(data, size);
      return {};
    }
    if (stream_ == nullptr) {
      stream_ = TakeStreamCompressor(options_.compression_level);
      if (stream_ == nullptr) {
        return Status(Code::kUnavailable, "compressing a message: out of memory");
      }
      LBOX_RETURN_IF_ERROR(Compress(pending_.data(), pending_.size(), ZSTD_e_continue));
      pending_.clear();
    }
    return Compress(data, size, ZSTD_e_continue);
  }

  // pending_ is the header section.
  Status FinishHeader() {
    in_header_ = false;
    facts_.header_size = static_cast<uint32_t>(pending_.size());
    if (pending_.empty()) {
      return {};
    }
    LBOX_ASSIGN_OR_RETURN(header_frame_,
                          CompressFrame(pending_, PieceLevel(options_.compression_level)));
    pending_.clear();
    return {};
  }

  Status Compress(const char* data, size_t size, ZSTD_EndDirective directive) {
    std::array<char, kOutputBytes> output;
    ZSTD_inBuffer in{data, size, 0};
    for (;;) {
      ZSTD_outBuffer out{output.data(), output.size(), 0};
      const size_t left = ZSTD_compressStream2(stream_.get(), &out, &in, directive);
      if (ZSTD_isError(left)) {
        return ZstdError(left, Code::kInvalid, "compressing a message");
      }
      if (out.pos > 0) {
        LBOX_RETURN_IF_ERROR(spool_->Append(output.data(), out.pos));
      }
      const bool done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
      if (done) {
        return {};
      }
    }
  }

  Status FinishBody() {
    if (codec_ == Codec::kZstd) {
      if (stream_ != nullptr) {
        LBOX_RETURN_IF_ERROR(Compress(nullptr, 0, ZSTD_e_end));
        stream_.reset();
      } else if (!pending_.empty()) {
        LBOX_ASSIGN_OR_RETURN(auto frame,
                              CompressFrame(pending_, PieceLevel(options_.compression_level)));
        pending_.clear();
        LBOX_RETURN_IF_ERROR(spool_->Append(frame.data(), frame.size()));
      }
    }
    if (spool_->stored() > kMaxStoredBytes) {
      return TooLarge();
    }
    return spool_->Finish();
  }

  Result<std::unique_ptr<StagedBody>> TryFinish(uint64_t physical_size, uint64_t virtual_size) {
    if (physical_size > kMaxMessageBytes || virtual_size > kMaxMessageBytes) {
      return TooLarge();
    }
    if (codec_ == Codec::kZstd && physical_size != appended_) {
      return Status(Code::kInvalid, "a message of " + std::to_string(physical_size) +
                                        " bytes was given in " + std::to_string(appended_));
    }
    if (in_header_) {
      LBOX_RETURN_IF_ERROR(FinishHeader());
    }
    LBOX_RETURN_IF_ERROR(FinishBody());
    facts_.codec = codec_;
    facts_.physical_size = static_cast<uint32_t>(physical_size);
    facts_.virtual_size = static_cast<uint32_t>(virtual_size);
    facts_.header_stored = static_cast<uint32_t>(header_frame_.size());
    facts_.header_hash = Hash64(header_frame_.data(), header_frame_.size());
    facts_.body_stored = static_cast<uint32_t>(spool_->stored());
    facts_.body_hash = spool_->hash();
    facts_.large_id = spool_->large_id();
    std::string frames = std::move(header_frame_);
    if (!spool_->large()) {
      frames += spool_->bytes();
      spool_.reset();
    }
    LBOX_ASSIGN_OR_RETURN(auto parked, options_.area->Park(std::move(frames)));
    return std::unique_ptr<StagedBody>(std::make_unique<StagedBodyImpl>(
        facts_, std::move(parked), std::move(spool_), options_.keep_alive));
  }

  static Status TooLarge() {
    return Status(Code::kInvalid,
                  "the message exceeds " + std::to_string(kMaxMessageBytes) + " bytes");
  }

  BodyWriterOptions options_;
  Codec codec_ = Codec::kZstd;
  Status failed_;  // of the first Append that failed: nothing can follow it
  uint64_t appended_ = 0;
  bool in_header_ = true;
  HeaderEnd header_end_;
  // Raw: the header section so far, then a body that may still be a small one.
  std::string pending_ = TakeScratch();
  std::string header_frame_;
  StreamCompressor stream_;  // once the body is not small
  std::unique_ptr<BodySpool> spool_;
  StagedBodyImpl::Facts facts_;
};

}  // namespace

std::unique_ptr<BodyWriter> NewBodyWriter(BodyWriterOptions options) {
  return std::make_unique<BodyWriterImpl>(std::move(options));
}

StagedBodyImpl::StagedBodyImpl(const Facts& facts, std::unique_ptr<Parked> frames,
                               std::unique_ptr<BodySpool> large, std::shared_ptr<void> keep_alive)
    : facts_(facts),
      keep_alive_(std::move(keep_alive)),
      frames_(std::move(frames)),
      large_(std::move(large)) {
  assert((large_ != nullptr) == this->large());
}

uint64_t StagedBodyImpl::stored_size() const {
  return frames_->size() + (large() ? kLargeHeaderBytes + uint64_t{facts_.body_stored} : 0);
}

void StagedBodyImpl::Describe(PackRecord& record) const {
  record.codec = facts_.codec;
  record.dictionary = 0;
  record.physical_size = facts_.physical_size;
  record.virtual_size = facts_.virtual_size;
  record.header_size = facts_.header_size;
  record.header_stored = facts_.header_stored;
  record.body_stored = facts_.body_stored;
  record.header_hash = facts_.header_hash;
  record.body_hash = facts_.body_hash;
  record.large_id = facts_.large_id;
}

Result<std::string> StagedBodyImpl::Frames() const {
  std::string frames(frames_->size(), '\0');
  LBOX_RETURN_IF_ERROR(frames_->Read(0, frames.data(), frames.size()));
  return frames;
}

const std::string& StagedBodyImpl::tmp_path() const {
  assert(large());
  return large_->path();
}

Status StagedBodyImpl::Sync() {
  assert(large());
  return large_->Sync();
}

void StagedBodyImpl::Disown(const std::string& saved_as) {
  assert(large());
  large_->Disown(saved_as);
}

Result<std::unique_ptr<BodyReader>> StagedBodyImpl::OpenReader(
    std::function<Result<std::unique_ptr<File>>()> open) const {
  LBOX_ASSIGN_OR_RETURN(auto frames, Frames());
  BodyReaderOptions options;
  Describe(options.record);
  options.context = [] { return std::string("message being saved"); };
  options.keep_alive = keep_alive_;
  options.header_frame = frames.substr(0, facts_.header_stored);
  if (!large()) {
    options.body_frame = frames.substr(facts_.header_stored);
  } else if (open) {
    options.open_large = std::move(open);
  } else {
    options.open_large = [env = large_->env(), path = large_->path()] {
      return env->OpenRead(path);
    };
  }
  return NewBodyReader(std::move(options));
}

}  // namespace lbox

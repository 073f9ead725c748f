#include "storage/staging.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

#include <sys/random.h>

#include "storage/body.h"
#include "storage/large_original.h"
#include "storage/pack_record.h"
#include "storage/status_macros.h"
#include "storage/zstd_context.h"

namespace lbox {
namespace {

constexpr size_t kWriteBytes = 128 * 1024;
constexpr int kNameAttempts = 10;
constexpr size_t kMostUnflushed = 64;  // well below the 1024 descriptors that a process may have

// Never zero.
Result<uint64_t> RandomId() {
  uint64_t id = 0;
  while (id == 0) {
    const ssize_t got = getrandom(&id, sizeof(id), 0);
    if (got < 0 && errno != EINTR) {
      return Status::FromErrno("getrandom() failed", errno);
    }
    if (got != static_cast<ssize_t>(sizeof(id))) {
      id = 0;
    }
  }
  return id;
}

struct NewFile {
  uint64_t id = 0;
  std::string path;
  std::unique_ptr<File> file;
};

// A new file named by a random id, 16 hex digits.
Result<NewFile> CreateFile(const StagingOptions& options) {
  for (int attempt = 1;; attempt++) {
    NewFile created;
    LBOX_ASSIGN_OR_RETURN(auto id, RandomId());
    created.id = id;
    char name[17];
    snprintf(name, sizeof(name), "%016" PRIx64, created.id);
    created.path = options.directory + "/" + name;
    auto file = options.env->Create(created.path, true, options.mode, options.gid);
    if (file.ok()) {
      created.file = std::move(file.value());
      return created;
    }
    if (file.status().code() != Code::kAborted || attempt == kNameAttempts) {
      return file.status();
    }
  }
}

}  // namespace

struct StagingArea::Overflow {
  std::unique_ptr<File> file;
  uint64_t end = 0;
};

class StagingArea::InMemory final : public Parked {
 public:
  InMemory(std::shared_ptr<StagingArea> area, std::string bytes)
      : area_(std::move(area)), bytes_(std::move(bytes)) {
    area_->memory_used_ += bytes_.size();
  }
  ~InMemory() override { area_->memory_used_ -= bytes_.size(); }
  InMemory(const InMemory&) = delete;
  InMemory& operator=(const InMemory&) = delete;

  size_t size() const override { return bytes_.size(); }
  Status Read(size_t offset, void* data, size_t size) const override {
    assert(offset <= bytes_.size() && size <= bytes_.size() - offset);
    memcpy(data, bytes_.data() + offset, size);
    return {};
  }

 private:
  const std::shared_ptr<StagingArea> area_;
  const std::string bytes_;
};

class StagingArea::InFile final : public Parked {
 public:
  InFile(std::shared_ptr<Overflow> overflow, uint64_t start, size_t size)
      : overflow_(std::move(overflow)), start_(start), size_(size) {}

  size_t size() const override { return size_; }
  Status Read(size_t offset, void* data, size_t size) const override {
    assert(offset <= size_ && size <= size_ - offset);
    LBOX_ASSIGN_OR_RETURN(auto got, overflow_->file->ReadAt(start_ + offset, data, size));
    if (got != size) {
      return Status(Code::kCorruption, "staged bytes were cut short in tmp/");
    }
    return {};
  }

 private:
  const std::shared_ptr<Overflow> overflow_;
  const uint64_t start_;
  const size_t size_;
};

std::shared_ptr<StagingArea> StagingArea::Create(StagingOptions options) {
  return std::shared_ptr<StagingArea>(new StagingArea(std::move(options)));
}

Result<std::unique_ptr<Parked>> StagingArea::Park(std::string bytes) {
  if (memory_used_ + bytes.size() <= options_.memory_bytes) {
    bytes.shrink_to_fit();
    return std::unique_ptr<Parked>(
        std::make_unique<InMemory>(shared_from_this(), std::move(bytes)));
  }
  auto overflow = overflow_.lock();
  if (overflow == nullptr) {
    LBOX_ASSIGN_OR_RETURN(auto created, CreateFile(options_));
    LBOX_RETURN_IF_ERROR(options_.env->Unlink(created.path));
    overflow = std::make_shared<Overflow>();
    overflow->file = std::move(created.file);
    overflow_ = overflow;
  }
  const uint64_t start = overflow->end;
  LBOX_RETURN_IF_ERROR(overflow->file->WriteAt(start, bytes.data(), bytes.size()));
  overflow->end += bytes.size();
  return std::unique_ptr<Parked>(std::make_unique<InFile>(overflow, start, bytes.size()));
}

BodySpool::~BodySpool() {
  Close();
  ReturnScratch(std::move(buffer_));
  if (!path_.empty()) {
    (void)area_->options().env->Unlink(path_);  // what stays is swept by Maintain
  }
}

Status BodySpool::Append(const void* data, size_t size) {
  hasher_.Update(data, size);
  if (!buffer_.empty() && buffer_.capacity() < kScratchBytes) {
    std::string more = TakeScratch();  // it is a stream
    more.append(buffer_);
    buffer_ = std::move(more);
  }
  buffer_.append(static_cast<const char*>(data), size);
  stored_ += size;
  if (!large() && stored_ > kLargeBodyBytes) {
    return Spill();
  }
  if (large() && buffer_.size() >= kWriteBytes) {
    return Flush();
  }
  return {};
}

// The header stays a hole until Finish: a file without a valid one is nothing.
Status BodySpool::Spill() {
  LBOX_ASSIGN_OR_RETURN(auto created, CreateFile(area_->options()));
  large_id_ = created.id;
  path_ = std::move(created.path);
  file_ = std::move(created.file);
  return Flush();
}

Status BodySpool::Flush() {
  const uint64_t written = stored_ - buffer_.size();
  LBOX_RETURN_IF_ERROR(file_->WriteAt(kLargeHeaderBytes + written, buffer_.data(), buffer_.size()));
  buffer_.clear();
  return {};
}

Status BodySpool::Finish() {
  if (!large()) {
    return {};
  }
  LBOX_RETURN_IF_ERROR(Flush());
  LargeHeader header;
  header.large_id = large_id_;
  header.body_stored = stored_;
  header.body_hash = hash();
  const std::string link_path = path_ + ".link";
  if (const uint64_t id = LinkToOriginal(area_->options(), header, *file_, link_path); id != 0) {
    (void)area_->options().env->Unlink(path_);
    path_ = link_path;
    large_id_ = id;
    linked_ = true;
    file_.reset();
    ReturnScratch(std::exchange(buffer_, std::string()));
    return {};
  }
  const std::string bytes = EncodeLargeHeader(header);
  LBOX_RETURN_IF_ERROR(file_->WriteAt(0, bytes.data(), bytes.size()));
  ReturnScratch(std::exchange(buffer_, std::string()));
  if (!area_->options().sync) {
    file_.reset();
    return {};
  }
  finished_ = true;
  if (!area_->unflushed_.empty()) {
    area_->unflushed_.back()->file_->StartSync();  // there are more: this one may wait long
  }
  area_->unflushed_.push_back(this);
  if (area_->unflushed_.size() >= kMostUnflushed) {
    for (BodySpool* spool : std::vector(area_->unflushed_)) {
      (void)spool->Sync();  // each one's own caller is told
    }
  }
  return {};
}

Status BodySpool::Sync() {
  if (finished_) {
    // Durable after this: the whole body, though under no name that lasts.
    flushed_ = file_->Sync();
    Close();
  }
  return flushed_;
}

void BodySpool::Disown(const std::string& saved_as) {
  path_.clear();
  if (!linked_) {
    RememberLarge(area_->options(), saved_as, {large_id_, stored_, hash()});
  }
}

void BodySpool::Close() {
  file_.reset();
  if (finished_) {
    finished_ = false;
    std::erase(area_->unflushed_, this);
  }
}

}  // namespace lbox

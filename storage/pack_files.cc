#include "storage/pack_files.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <span>

#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr size_t kOpenPacks = 4;
constexpr size_t kBufferBytes = 256 * 1024;
constexpr uint64_t kBlockBytes = 4096;

uint64_t SpareBytes(uint64_t tail) {
  const uint64_t spare = std::min(tail / 8, kMaxSpareBytes) / kBlockBytes * kBlockBytes;
  return std::min(spare, kPackBytes - std::min(tail, kPackBytes));
}

}  // namespace

std::optional<LargeHeader> ReadLargeHeader(Env& env, const std::string& path) {
  const auto file = env.OpenRead(path);
  if (!file.ok()) {
    return std::nullopt;
  }
  uint8_t bytes[kLargeHeaderBytes];
  const auto got = (*file)->ReadAt(0, bytes, sizeof(bytes));
  const auto size = (*file)->Size();
  if (!got.ok() || !size.ok()) {
    return std::nullopt;
  }
  const auto header = DecodeLargeHeader(std::span(bytes).first(*got));
  if (!header.ok() || *size != kLargeHeaderBytes + header->body_stored) {
    return std::nullopt;
  }
  return *header;
}

std::string PackFiles::PackPath(uint32_t id) const {
  char name[16];
  snprintf(name, sizeof(name), "/p/%08" PRIx32, id);
  return options_.folder + name;
}

std::string PackFiles::LargePath(uint64_t id) const {
  char name[24];
  snprintf(name, sizeof(name), "/l/%016" PRIx64, id);
  return options_.folder + name;
}

std::string PackFiles::PathOf(const PendingFile& file) const {
  return file.kind == FileKind::kPack ? PackPath(static_cast<uint32_t>(file.id))
                                      : LargePath(file.id);
}

Result<std::shared_ptr<File>> PackFiles::OpenRead(uint32_t id) {
  for (auto it = open_.begin(); it != open_.end(); ++it) {
    if (it->first == id) {
      open_.splice(open_.begin(), open_, it);
      return it->second;
    }
  }
  LBOX_ASSIGN_OR_RETURN(std::shared_ptr<File> file, options_.env->OpenRead(PackPath(id)));
  open_.emplace_front(id, file);
  if (open_.size() > kOpenPacks) {
    open_.pop_back();
  }
  return file;
}

Status PackFiles::DropRemoved(Txn& txn) {
  if (seen_transaction_ == txn.meta.transaction) {
    return {};
  }
  seen_transaction_ = txn.meta.transaction;
  for (auto it = open_.begin(); it != open_.end();) {
    Status status = txn.GetPack(it->first).status();
    if (!status.ok() && status.code() != Code::kNotFound) {
      return status;
    }
    it = status.ok() ? std::next(it) : open_.erase(it);
  }
  if (writing_ != nullptr && txn.meta.active_pack != writing_id_) {
    writing_.reset();
  }
  return {};
}

void PackFiles::Forget(uint32_t id) {
  open_.remove_if([id](const auto& entry) { return entry.first == id; });
  if (writing_id_ == id) {
    writing_.reset();
  }
}

Result<std::unique_ptr<File>> PackFiles::CreatePack(uint32_t id) {
  const std::string path = PackPath(id);
  Forget(id);
  auto file = options_.env->Create(path, true, options_.mode, options_.gid);
  if (file.ok() || file.status().code() != Code::kAborted) {
    return file;
  }
  LBOX_RETURN_IF_ERROR(options_.env->Unlink(path));
  return options_.env->Create(path, true, options_.mode, options_.gid);
}

Status PackFiles::SyncPackNames() {
  return options_.sync ? options_.env->SyncDirectory(options_.folder + "/p") : Status();
}

Result<PackAppender::Place> PackAppender::Append(const std::string& header,
                                                 const std::string& frames, uint64_t span) {
  assert(span >= header.size() + frames.size());
  if (id_ == 0 || (row_.tail > 0 && row_.tail + span > kPackBytes)) {
    LBOX_RETURN_IF_ERROR(Start(span));
  }
  const Place place{id_, static_cast<uint32_t>(row_.tail)};
  first_ = first_.value_or(place);
  buffer_ += header;
  buffer_ += frames;
  buffer_.append(span - header.size() - frames.size(), '\0');
  row_.tail += span;
  row_.live_bytes += span;
  row_.live_count++;
  txn_.meta.pack_bytes += span;
  txn_.meta.pack_live_bytes += span;
  if (buffer_.size() >= kBufferBytes) {
    LBOX_RETURN_IF_ERROR(Flush(0));
  }
  return place;
}

// Makes a pack with room for `span` bytes the one appended to.
Status PackAppender::Start(uint64_t span) {
  if (id_ != 0) {
    LBOX_RETURN_IF_ERROR(Close());
    return NewPack();
  }
  const uint32_t active = txn_.meta.active_pack;
  if (active == 0 || files_.abandoned_.contains(active)) {
    return NewPack();
  }
  LBOX_ASSIGN_OR_RETURN(row_, txn_.GetPack(active));
  if (row_.tail > 0 && row_.tail + span > kPackBytes) {
    return NewPack();
  }
  id_ = active;
  if (files_.writing_ == nullptr || files_.writing_id_ != id_) {
    auto file = files_.options_.env->OpenReadWrite(files_.PackPath(id_));
    if (file.status().code() == Code::kNotFound) {
      return NewPack();  // it is missing: what it held is lost, new mail is not
    }
    LBOX_ASSIGN_OR_RETURN(files_.writing_, std::move(file));
    files_.writing_id_ = id_;
  }
  file_ = files_.writing_;
  LBOX_ASSIGN_OR_RETURN(size_, file_->Size());
  return size_ < row_.tail ? NewPack() : Status();  // nothing is appended to a pack that was cut
}

Status PackAppender::NewPack() {
  id_ = txn_.meta.next_pack_id++;
  while (files_.keep_unknown_ && files_.options_.env->Stat(files_.PackPath(id_)).ok()) {
    id_ = txn_.meta.next_pack_id++;
  }
  row_ = PackRow();
  row_.created = now_;
  // Not kept open for later saves: should this transaction fail, the id and the file's name will be
  // another's.
  LBOX_ASSIGN_OR_RETURN(file_, files_.CreatePack(id_));
  size_ = 0;
  created_ = true;
  txn_.meta.active_pack = id_;
  return {};
}

// With `spare` zeros behind it when the file becomes longer.
Status PackAppender::Flush(uint64_t spare) {
  const uint64_t offset = row_.tail - buffer_.size();
  const size_t records = buffer_.size();
  if (row_.tail > size_) {
    buffer_.resize(records + spare);
  }
  Status status = file_->WriteAt(offset, buffer_.data(), buffer_.size());
  if (!status.ok() && buffer_.size() > records) {
    status = file_->WriteAt(offset, buffer_.data(), records);  // room for these may be left
  }
  LBOX_RETURN_IF_ERROR(status);
  size_ = std::max(size_, row_.tail);
  buffer_.clear();
  return {};
}

// Done with the present pack.
Status PackAppender::Close() {
  LBOX_RETURN_IF_ERROR(Flush(SpareBytes(row_.tail)));
  if (files_.options_.sync) {
    // Durable after this: the records appended to this pack.
    if (Status status = file_->Sync(); !status.ok()) {
      // What the kernel kept of it is unknown, and a later flush may claim success.
      files_.abandoned_.insert(id_);
      files_.writing_.reset();
      return status;
    }
  }
  return txn_.PutPack(id_, row_);
}

Status PackAppender::Finish() {
  if (id_ == 0) {
    return {};
  }
  LBOX_RETURN_IF_ERROR(Close());
  // Durable after this: the names of packs started.
  return created_ ? files_.SyncPackNames() : Status();
}

}  // namespace lbox

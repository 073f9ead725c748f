#include "storage/journal.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "storage/checksum.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr std::string_view kPrefix = "journal.";
constexpr char kBootIdPath[] = "/proc/sys/kernel/random/boot_id";

}  // namespace

std::string JournalPath(const std::string& folder, uint32_t number) {
  return folder + "/" + std::string(kPrefix) + std::to_string(number);
}

Result<std::vector<uint32_t>> ListJournals(Env& env, const std::string& folder) {
  std::vector<uint32_t> numbers;
  LBOX_RETURN_IF_ERROR(env.List(folder, [&](const std::string& name) {
    uint32_t number = 0;
    const char* const end = name.data() + name.size();
    if (name.starts_with(kPrefix) && name.size() > kPrefix.size() && name[kPrefix.size()] != '0') {
      const auto result = std::from_chars(name.data() + kPrefix.size(), end, number);
      if (result.ec == std::errc() && result.ptr == end) {
        numbers.push_back(number);
      }
    }
  }));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

namespace {

uint32_t ReadBoot(Env& env) {
  const auto file = env.OpenRead(kBootIdPath);
  if (!file.ok()) {
    return 0;
  }
  uint8_t text[64];
  const auto got = (*file)->ReadAt(0, text, sizeof(text));
  return got.ok() && *got > 0 ? Check32(std::span(text).first(*got)) : 0;
}

}  // namespace

uint32_t BootOf(Env& env) {
  if (&env != Env::Default()) {
    return ReadBoot(env);
  }
  static uint32_t boot = 0;  // no process outlives it
  if (boot == 0) {
    boot = ReadBoot(env);
  }
  return boot;
}

Status JournalFile::Open(uint32_t number) {
  if (!boot_known_) {
    boot_ = BootOf(*options_.env);
    boot_known_ = true;
  }
  if (file_ != nullptr && number_ == number) {
    return {};
  }
  file_.reset();
  const std::string path = JournalPath(options_.folder, number);
  auto file = options_.env->OpenReadWrite(path);
  if (file.status().code() == Code::kNotFound) {
    // Somebody has removed it. What comes now is of use only with the next index copy.
    file = options_.env->Create(path, false, options_.mode, options_.gid);
  }
  LBOX_ASSIGN_OR_RETURN(file_, std::move(file));
  number_ = number;
  return {};
}

Status JournalFile::Begin(MetaRow& meta) {
  const uint32_t number = meta.journal + 1;
  Close();
  const std::string path = JournalPath(options_.folder, number);
  // One that is there belongs to a transaction that did not commit.
  if (Status status = options_.env->Unlink(path);
      !status.ok() && status.code() != Code::kNotFound) {
    return status;
  }
  LBOX_RETURN_IF_ERROR(options_.env->Create(path, true, options_.mode, options_.gid).status());
  if (options_.sync) {
    // Durable after this: the name of the journal.
    LBOX_RETURN_IF_ERROR(options_.env->SyncDirectory(options_.folder));
  }
  meta.journal = number;
  meta.journal_tail = 0;
  meta.boot = BootOf(*options_.env);
  return {};
}

Status JournalFile::Append(MetaRow& meta, const JournalRecord& record, JournalSpace space) {
  appended_ = false;
  if (record.empty() || meta.journal == 0) {
    return {};
  }
  Status status = space == JournalSpace::kNone ? Status(Code::kNoSpace, "the disk is full")
                                               : WriteFrame(meta, record);
  if (!status.ok()) {
    const bool full = status.code() == Code::kNoSpace && space != JournalSpace::kNeeded;
    if (!full && status.code() != Code::kInvalid) {
      return status;
    }
    meta.boot = 0;
  }
  meta.journaled = meta.transaction;
  return {};
}

// kInvalid when it is too long.
Status JournalFile::WriteFrame(MetaRow& meta, const JournalRecord& record) {
  LBOX_RETURN_IF_ERROR(Open(meta.journal));
  LBOX_ASSIGN_OR_RETURN(
      const std::string bytes,
      EncodeJournalFrame({meta.transaction, meta.journaled, meta.uuid, boot_, record}));
  if (bytes.size() > UINT32_MAX - meta.journal_tail) {
    return Status(Code::kInvalid, "the journal is full");
  }
  appended_ = true;
  LBOX_RETURN_IF_ERROR(file_->WriteAt(meta.journal_tail, bytes.data(), bytes.size()));
  meta.journal_tail += static_cast<uint32_t>(bytes.size());
  return {};
}

void JournalFile::Void(const MetaRow& meta) {
  if (appended_ && file_ != nullptr && number_ == meta.journal) {
    const uint64_t nothing = 0;
    // What cannot be taken back is written over by the next.
    (void)file_->WriteAt(meta.journal_tail, &nothing, sizeof(nothing));
  }
  appended_ = false;
}

Status ReadJournal(Env& env, const std::string& path, const Guid& store, uint64_t& skipped,
                   const std::function<Status(JournalFrame)>& visit) {
  skipped = 0;
  LBOX_ASSIGN_OR_RETURN(const auto file, env.OpenRead(path));
  LBOX_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::string bytes;
  bytes.resize(size);
  LBOX_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(0, bytes.data(), bytes.size()));
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(bytes.data()), got);
  uint64_t end = 0;  // of the last frame
  for (size_t at = 0; at + kJournalFrameBytes <= data.size();) {
    const auto span = JournalFrameSpan(data.subspan(at));
    if (span.ok() && *span <= data.size() - at) {
      auto frame = DecodeJournalFrame(data.subspan(at, *span));
      if (frame.ok() && frame->store == store) {
        skipped += at - end;
        end = at + *span;
        LBOX_RETURN_IF_ERROR(visit(std::move(frame.value())));
        at = end;
        continue;
      }
    }
    at += kJournalAlignment;
  }
  return {};
}

}  // namespace lbox

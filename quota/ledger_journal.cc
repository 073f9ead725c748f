#include "quota/ledger_journal.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "quota/bytes.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr std::string_view kMagic = "hostjnl1";
constexpr size_t kRecordHeadBytes = 12;  // length, check
constexpr uint64_t kMaxFileBytes = 1ULL << 30;

uint64_t Check(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string Head(const std::string& environment, uint64_t base) {
  ByteWriter head;
  head.Bytes(kMagic);
  head.Bytes(environment);
  head.Number<uint64_t>(base);
  head.Number<uint64_t>(Check(head.bytes()));
  return head.Take();
}

}  // namespace

Result<LedgerJournal> LedgerJournal::Open(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return Status::FromErrno("open(" + path + ")", errno);
  }
  return LedgerJournal(std::move(file), path);
}

Status LedgerJournal::Replay(const std::string& environment, uint64_t base,
                             const std::function<Status(std::string_view record)>& visit) {
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) {
    return Status::FromErrno("fstat(" + path_ + ")", errno);
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > kMaxFileBytes) {
    return Status(Code::kCorruption, path_ + " is larger than a journal can be");
  }
  std::string bytes(size, '\0');
  const ssize_t got = pread(file_.get(), bytes.data(), bytes.size(), 0);
  if (got < 0) {
    return Status::FromErrno("read(" + path_ + ")", errno);
  }
  bytes.resize(static_cast<size_t>(got));
  const std::string head = Head(environment, base);
  if (!bytes.starts_with(head)) {
    return {};  // of another base, or nothing
  }
  ByteReader in(std::string_view(bytes).substr(head.size()));
  while (in.left() >= kRecordHeadBytes) {
    const auto length = in.Number<uint32_t>();
    const auto check = in.Number<uint64_t>();
    const std::string_view record = in.Bytes(length);
    if (!in.ok() || Check(record) != check) {
      break;
    }
    LBOX_RETURN_IF_ERROR(visit(record));
  }
  return {};
}

void LedgerJournal::Restart(const std::string& environment, uint64_t base) {
  head_ = Head(environment, base);
  end_ = 0;
}

Status LedgerJournal::Write(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote =
        pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0) {
      if (errno == EINTR) {
        continue;
      }
      return Status::FromErrno("write(" + path_ + ")", errno);
    }
    bytes.remove_prefix(static_cast<size_t>(wrote));
    offset += static_cast<uint64_t>(wrote);
  }
  return {};
}

Status LedgerJournal::Append(std::string_view record) {
  if (record.size() > UINT32_MAX || end_ + record.size() > kMaxFileBytes) {
    return Status(Code::kFull, path_ + " is full");
  }
  ByteWriter bytes;
  if (end_ == 0) {
    if (ftruncate(file_.get(), 0) != 0) {
      return Status::FromErrno("ftruncate(" + path_ + ")", errno);
    }
    bytes.Bytes(head_);
  }
  bytes.Number<uint32_t>(record.size());
  bytes.Number<uint64_t>(Check(record));
  bytes.Bytes(record);
  Status status = Write(end_, bytes.bytes());
  if (!status.ok()) {
    // What was written of it is no whole record; this only gives its space back.
    (void)!ftruncate(file_.get(), static_cast<off_t>(end_));
    return status;
  }
  end_ += bytes.bytes().size();
  return {};
}

}  // namespace hosting

#include "storage/store_lock.h"

#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// Runs `attempt` (true: had it) with growing pauses until it succeeds, fails otherwise than by
// "held by another", or kLockTimeout has passed. Lock holders hold for milliseconds.
template <typename Attempt>
Status Poll(const std::string& what, Attempt attempt) {
  const auto deadline = std::chrono::steady_clock::now() + kLockTimeout;
  long pause = 200'000;  // nanoseconds
  for (;;) {
    if (attempt()) {
      return {};
    }
    if (errno != EWOULDBLOCK && errno != EAGAIN && errno != EACCES && errno != EINTR) {
      return Status::FromErrno(what, errno);
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Status(Code::kBusy, what + ": held by another process for " +
                                     std::to_string(kLockTimeout.count()) + " seconds");
    }
    const timespec time{0, pause};
    nanosleep(&time, nullptr);
    pause = pause < 20'000'000 ? pause * 2 : pause;
  }
}

constexpr off_t kGateByte = 0, kUpkeepByte = 1;

// On the open file, not the process: a second opening of the file elsewhere does not drop it.
bool SetRange(int fd, short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

}  // namespace

StoreLock::Held::Held(Held&& other) noexcept : lock_(other.lock_), release_(other.release_) {
  other.lock_ = nullptr;
}

StoreLock::Held& StoreLock::Held::operator=(Held&& other) noexcept {
  if (this != &other) {
    Release();
    lock_ = other.lock_;
    release_ = other.release_;
    other.lock_ = nullptr;
  }
  return *this;
}

void StoreLock::Held::Release() {
  if (lock_ != nullptr && lock_->pid_ == getpid()) {
    (lock_->*release_)();
  }
  lock_ = nullptr;
}

StoreLock::StoreLock(std::unique_ptr<File> file, std::string path)
    : file_(std::move(file)), path_(std::move(path)), pid_(getpid()) {}

StoreLock::~StoreLock() {
  if (marked_ && pid_ == getpid()) {
    SetMark(static_cast<uint32_t>(pid_), 0);
  }
}

void StoreLock::SetMark(uint32_t process, uint32_t value) {
  std::array<uint8_t, 4> bytes;
  StoreLittle(bytes.data(), value);
  // Without it (a full disk) a death goes unnoticed, no more.
  const ssize_t put = pwrite(file_->descriptor(), bytes.data(), bytes.size(),
                             static_cast<off_t>((process % kMarks) * bytes.size()));
  (void)put;
}

void StoreLock::Mark() {
  if (may_mark_ && !marked_ && pid_ == getpid()) {
    marked_ = true;
    SetMark(static_cast<uint32_t>(pid_), static_cast<uint32_t>(pid_));
  }
}

std::vector<uint32_t> StoreLock::DeadMarks() {
  std::array<uint8_t, size_t{4} * kMarks> bytes;
  std::vector<uint32_t> dead;
  const auto got = file_->ReadAt(0, bytes.data(), bytes.size());
  for (size_t at = 0; got.ok() && at + 4 <= *got; at += 4) {
    const auto process = LoadLittle<uint32_t>(&bytes[at]);
    if (process != 0 && process <= INT32_MAX && process % kMarks == at / 4 &&
        process != static_cast<uint32_t>(pid_) && kill(static_cast<pid_t>(process), 0) != 0 &&
        errno == ESRCH) {
      dead.push_back(process);
    }
  }
  return dead;
}

void StoreLock::RemoveMarks(const std::vector<uint32_t>& processes) {
  for (const uint32_t process : processes) {
    SetMark(process, 0);
  }
}

Status StoreLock::Wait(int operation) {
  return Poll("flock(" + path_ + ") failed",
              [&] { return flock(file_->descriptor(), operation | LOCK_NB) == 0; });
}

Result<StoreLock::Held> StoreLock::Shared() {
  if (shared_ == 0 && !exclusive_) {
    LBOX_RETURN_IF_ERROR(Wait(LOCK_SH));
  }
  shared_++;
  return Held(this, &StoreLock::ReleaseShared);
}

Result<StoreLock::Held> StoreLock::Exclusive() {
  assert(shared_ == 0 && !exclusive_);
  LBOX_RETURN_IF_ERROR(Wait(LOCK_EX));
  exclusive_ = true;
  return Held(this, &StoreLock::ReleaseExclusive);
}

Result<StoreLock::Held> StoreLock::TryExclusive() {
  if (shared_ != 0 || exclusive_) {
    return Held();
  }
  while (flock(file_->descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Held();
    }
    if (errno != EINTR) {
      return Status::FromErrno("flock(" + path_ + ") failed", errno);
    }
  }
  exclusive_ = true;
  return Held(this, &StoreLock::ReleaseExclusive);
}

Result<StoreLock::Held> StoreLock::Gate() {
  LBOX_RETURN_IF_ERROR(Poll("fcntl(" + path_ + ") failed",
                            [&] { return SetRange(file_->descriptor(), F_WRLCK, kGateByte); }));
  return Held(this, &StoreLock::ReleaseGate);
}

void StoreLock::ReleaseShared() {
  assert(shared_ > 0);
  if (--shared_ == 0 && !exclusive_) {
    flock(file_->descriptor(), LOCK_UN);
  }
}

void StoreLock::ReleaseExclusive() {
  assert(exclusive_);
  exclusive_ = false;
  // What was taken as shared meanwhile stays so.
  flock(file_->descriptor(), shared_ > 0 ? LOCK_SH : LOCK_UN);
}

StoreLock::Held StoreLock::TryUpkeep() {
  return SetRange(file_->descriptor(), F_WRLCK, kUpkeepByte) ? Held(this, &StoreLock::ReleaseUpkeep)
                                                             : Held();
}

void StoreLock::ReleaseGate() {
  SetRange(file_->descriptor(), F_UNLCK, kGateByte);
}

void StoreLock::ReleaseUpkeep() {
  SetRange(file_->descriptor(), F_UNLCK, kUpkeepByte);
}

}  // namespace lbox

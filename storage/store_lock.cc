#include "storage/store_lock.h"

#include <cassert>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

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

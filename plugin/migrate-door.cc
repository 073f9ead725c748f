#include "plugin/migrate-door.h"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "plugin/migrate-child.h"

namespace lbox::migrate {
namespace {

constexpr useconds_t kTryMicroseconds = 20000;
constexpr int kOpenTries = 10;

// Root with a user's rights, for as long as it lives.
class AsUser {
 public:
  AsUser(uid_t uid, gid_t gid) : uid_(geteuid()), gid_(getegid()) {
    good_ = setgroups(0, nullptr) == 0 && setegid(gid) == 0 && seteuid(uid) == 0;
  }
  ~AsUser() {
    int signal = 0;
    (void)seteuid(uid_);
    (void)setegid(gid_);
    // What the kernel forgets when rights change: to end with the parent.
    (void)prctl(PR_GET_PDEATHSIG, &signal);
    if (signal == 0) {
      (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
  }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;
  [[nodiscard]] bool good() const { return good_; }

 private:
  uid_t uid_;
  gid_t gid_;
  bool good_;
};

hosting::Descriptor OpenAs(const std::string& path, const std::string& home, uid_t uid, gid_t gid,
                           int& error) {
  const AsUser user(uid, gid);
  if (!user.good()) {
    error = errno;
    return {};
  }
  constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  hosting::Descriptor file(open(path.c_str(), kFlags, 0600));
  if (!file.valid() && errno == ENOENT && mkdir(home.c_str(), 0700) == 0) {
    file = hosting::Descriptor(open(path.c_str(), kFlags, 0600));
  }
  error = errno;
  return file;
}

bool IsThere(int file) {
  struct stat st {};
  return fstat(file, &st) == 0 && st.st_nlink > 0 && S_ISREG(st.st_mode);
}

}  // namespace

Result<Door> Door::Open(const std::string& home, uid_t uid, gid_t gid, const Gate& gate) {
  const std::string path = home + "/" + kGateName;
  for (int tries = 0; tries < kOpenTries; ++tries) {
    int error = 0;
    Door door(path, OpenAs(path, home, uid, gid, error));
    if (!door.file_.valid()) {
      return Status::FromErrno("creating " + path, error);
    }
    // Locked, so that nobody removes it as one that is left from before.
    if (flock(door.file_.get(), LOCK_SH) != 0 || !IsThere(door.file_.get())) {
      continue;
    }
    if (Status status = door.Write(gate); !status.ok()) {
      return status;
    }
    door.Unlock();
    return door;
  }
  return Status(Code::kAborted, path + " is no file that stays");
}

Status Door::Write(const Gate& gate) const {
  const std::string text = gate.Encode();
  const ssize_t written = pwrite(file_.get(), text.data(), text.size(), 0);
  return written == static_cast<ssize_t>(text.size())
             ? Status()
             : Status::FromErrno("writing " + path_, written < 0 ? errno : ENOSPC);
}

bool Door::Lock(std::chrono::steady_clock::time_point until) const {
  while (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (StopRequested() || std::chrono::steady_clock::now() >= until) {
      return false;
    }
    (void)usleep(kTryMicroseconds);
  }
  return true;
}

void Door::Unlock() const {
  (void)flock(file_.get(), LOCK_UN);
}

Result<std::string> SetAside(const std::string& folder, uid_t uid, gid_t gid, int64_t now) {
  std::string aside = folder + "." + std::to_string(now);
  const AsUser user(uid, gid);
  if (!user.good() ||
      renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, aside.c_str(), RENAME_NOREPLACE) != 0) {
    return Status::FromErrno("renaming " + folder, errno);
  }
  return aside;
}

}  // namespace lbox::migrate

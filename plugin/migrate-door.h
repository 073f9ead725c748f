// Door: the migration's hold on a user's gate file (migrate-gate.h).
//
// Purpose: makes the file, writes what it says, and waits until nobody has the user open.
// Ownership: an object holds the file's descriptor, and with it the lock. Process rules: for a
// process that runs as root and has no threads; the home belongs to the user, so the file is opened
// with the user's rights, and no link is followed. Crash rule: the kernel drops the lock with the
// process, and what the file says is over at its time. No Dovecot header.
#pragma once

#include <chrono>
#include <string>

#include <sys/types.h>

#include "plugin/migrate-gate.h"
#include "quota/descriptor.h"
#include "storage/status.h"

namespace lbox::migrate {

class Door {
 public:
  // Makes the file, and the home if the user may make it; it says `gate`.
  static Result<Door> Open(const std::string& home, uid_t uid, gid_t gid, const Gate& gate);

  [[nodiscard]] Status Write(const Gate& gate) const;
  // Waits until nobody has the user open: false when the time is over before, or this process is to
  // end. Those who come meanwhile are not kept out by this, but by what the file says.
  [[nodiscard]] bool Lock(std::chrono::steady_clock::time_point until) const;
  void Unlock() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Door(std::string path, hosting::Descriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  hosting::Descriptor file_;
};

// Gives a folder of the user's another name, "<folder>.<time>". Returns it.
Result<std::string> SetAside(const std::string& folder, uid_t uid, gid_t gid, int64_t now);

}  // namespace lbox::migrate

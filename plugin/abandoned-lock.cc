#include "plugin/abandoned-lock.h"

#include <csignal>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/dovecot.h"

namespace {

// Whether this process alone has the file open; from then until it is closed, others wait to open
// it.
bool take_lease(int fd) {
  // Who opens the file meanwhile makes the kernel send a signal: one that does nothing.
  return fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

bool is_same_file(int fd, const char* path) {
  struct stat open_file;
  struct stat named;
  return fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

}  // namespace

void lbox_remove_abandoned_lock(const char* prefix) {
  const std::string path = std::string(prefix) + ".log.newlock";
  int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    return;
  }
  if (take_lease(fd) && is_same_file(fd, path.c_str())) {
    i_unlink_if_exists(path.c_str());
  }
  i_close_fd(&fd);
}

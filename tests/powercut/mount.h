// A Volume as a mounted file system.
//
// Purpose: serves a Volume by FUSE, so that any program works on it: the kernel keeps locks
// (flock, fcntl), checks permissions, and caches pages, which are right because nothing but this
// mount changes the volume; shared writable maps work, too. Ownership: the session and the mount
// are this object's; volume and faults are the caller's. Process and thread rules: one thread,
// which must not itself touch what is mounted; root. Failure modes: Start throws
// std::runtime_error.
#pragma once

#include <string>

#include "tests/powercut/faults.h"
#include "tests/powercut/volume.h"

struct fuse_session;

namespace lbox::powercut {

class Mount {
 public:
  Mount(Volume& volume, Faults& faults, std::string path);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  // Mounts, readable by every user.
  void Start();
  // Unmounts, whoever still uses it: everything they try from now on fails. The kernel forgets what
  // it had cached.
  void Stop();

  // To be polled; readable when Serve has something to do.
  [[nodiscard]] int fd() const;
  // Answers one request.
  void Serve();

  // The power is off: from now on every call fails with EIO, and changes nothing.
  void set_off(bool off) { off_ = off; }
  [[nodiscard]] bool off() const { return off_; }

  Volume& volume() { return volume_; }
  Faults& faults() { return faults_; }

 private:
  Volume& volume_;
  Faults& faults_;
  const std::string path_;
  fuse_session* session_ = nullptr;
  bool off_ = false;
};

}  // namespace lbox::powercut

#include "tests/powercut/mount.h"

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "tests/powercut/requests.h"

namespace lbox::powercut {

Mount::Mount(Volume& volume, Faults& faults, std::string path)
    : volume_(volume), faults_(faults), path_(std::move(path)) {}

Mount::~Mount() {
  Stop();
}

void Mount::Start() {
  fuse_args args = FUSE_ARGS_INIT(0, nullptr);
  for (const char* argument :
       {"powercut", "-oallow_other,default_permissions,dev,suid,fsname=lbox-powercut"}) {
    fuse_opt_add_arg(&args, argument);
  }
  session_ = fuse_session_new(&args, &Requests(), sizeof(Requests()), this);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) {
    throw std::runtime_error("fuse_session_new() failed");
  }
  if (fuse_session_mount(session_, path_.c_str()) != 0) {
    fuse_session_destroy(session_);
    session_ = nullptr;
    throw std::runtime_error("cannot mount " + path_);
  }
}

void Mount::Stop() {
  if (session_ != nullptr) {
    fuse_session_unmount(session_);
    fuse_session_destroy(session_);
    session_ = nullptr;
  }
}

int Mount::fd() const {
  return fuse_session_fd(session_);
}

void Mount::Serve() {
  fuse_buf buffer{};
  const int size = fuse_session_receive_buf(session_, &buffer);
  if (size == -EINTR || size == -EAGAIN) {
    return;
  }
  if (size <= 0) {
    throw std::runtime_error("the mount was taken away: " + path_);
  }
  fuse_session_process_buf(session_, &buffer);
  free(buffer.mem);
}

}  // namespace lbox::powercut

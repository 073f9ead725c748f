// What the kernel asks of a mounted Volume; the user data of the session is its Mount.
#pragma once

#define FUSE_USE_VERSION 31
#include <fuse_lowlevel.h>

namespace lbox::powercut {

const fuse_lowlevel_ops& Requests();

}  // namespace lbox::powercut

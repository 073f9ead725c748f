// The clock that is never set: milliseconds of CLOCK_BOOTTIME, the same for all processes of the
// host.
#pragma once

#include <cstdint>
#include <ctime>

namespace hosting {

inline int64_t BootMs() {
  struct timespec now {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

}  // namespace hosting

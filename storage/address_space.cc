#include "storage/address_space.h"

#include <cstdlib>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace lbox {
namespace {

// Bytes of address space in use; 0 when it cannot be told (/proc is not mounted in some chroots).
uint64_t AddressSpaceUsed() {
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd == -1) {
    return 0;
  }
  char text[128];
  const ssize_t size = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (size <= 0) {
    return 0;
  }
  text[size] = '\0';
  return strtoull(text, nullptr, 10) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// The largest range, in steps of 1 MiB, that mmap grants right now.
uint64_t ProbeLargestMap(uint64_t limit) {
  constexpr uint64_t kStep = 1024 * 1024;
  uint64_t low = 0, high = limit / kStep + 1;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    void* map = mmap(nullptr, middle * kStep, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
      high = middle;
    } else {
      munmap(map, middle * kStep);
      low = middle;
    }
  }
  return low * kStep;
}

}  // namespace

uint64_t AddressSpaceLeft() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return kNoLimit;
  }
  const uint64_t used = AddressSpaceUsed();
  if (used == 0) {
    return ProbeLargestMap(limit.rlim_cur);
  }
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace lbox

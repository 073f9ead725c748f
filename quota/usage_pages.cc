#include "quota/usage_pages.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>

namespace hosting {

Result<SharedPage> SharedPage::Create(const std::string& name) {
  Descriptor memory(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) {
    return Status::FromErrno("memfd_create()", errno);
  }
  if (ftruncate(memory.get(), kAccountPageSize) != 0) {
    return Status::FromErrno("ftruncate() of a shared page", errno);
  }
  auto map = PageMap::ForWriting(memory.get());
  if (!map) {
    return Status::FromErrno("mmap() of a shared page", errno);
  }
  if (fcntl(memory.get(), F_ADD_SEALS,
            F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Status::FromErrno("fcntl(F_ADD_SEALS) of a shared page", errno);
  }
  // What both kinds of page begin with.
  map->As<PulsePage>()->magic = kAccountPageMagic;
  return SharedPage(std::move(memory), std::move(*map));
}

}  // namespace hosting

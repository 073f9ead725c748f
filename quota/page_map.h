// PageMap: one page of shared memory, mapped.
//
// Purpose: account and pulse pages (account_page.h), on the service's and on the readers' side.
// Ownership: owns the map; the descriptor may be closed after mapping. Move-only. Process rules: a
// map made for reading gives no way to write. Crash rule: the memory outlives whoever made it.
#pragma once

#include <optional>
#include <utility>

#include <sys/mman.h>
#include <sys/stat.h>

#include "quota/account_page.h"

namespace hosting {

class PageMap {
 public:
  // None when the descriptor is no file of at least a page, or cannot be mapped.
  static std::optional<PageMap> ForReading(int fd) { return Map(fd, PROT_READ); }
  static std::optional<PageMap> ForWriting(int fd) { return Map(fd, PROT_READ | PROT_WRITE); }

  PageMap(PageMap&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
  PageMap& operator=(PageMap&& other) noexcept {
    std::swap(address_, other.address_);
    return *this;
  }
  ~PageMap() {
    if (address_ != nullptr) {
      munmap(address_, kAccountPageSize);
    }
  }

  template <typename Page>
  [[nodiscard]] Page* As() const {
    static_assert(sizeof(Page) <= kAccountPageSize);
    return static_cast<Page*>(address_);
  }

 private:
  explicit PageMap(void* address) : address_(address) {}

  static std::optional<PageMap> Map(int fd, int protection) {
    struct stat info {};
    if (fstat(fd, &info) != 0 || info.st_size < static_cast<off_t>(kAccountPageSize)) {
      return std::nullopt;
    }
    void* const address = mmap(nullptr, kAccountPageSize, protection, MAP_SHARED, fd, 0);
    return address == MAP_FAILED ? std::nullopt : std::optional<PageMap>(PageMap(address));
  }

  void* address_;
};

}  // namespace hosting

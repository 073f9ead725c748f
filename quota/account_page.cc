#include "quota/account_page.h"

#include <cstring>
#include <type_traits>

namespace hosting {
namespace {

static_assert(std::is_trivially_copyable_v<AccountFigures>);
constexpr int kTries = 1000;  // a write takes well under a microsecond

}  // namespace

std::optional<AccountFigures> ReadAccountPage(const AccountPage& page) {
  if (page.magic != kAccountPageMagic) {
    return std::nullopt;
  }
  for (int i = 0; i < kTries; ++i) {
    const uint32_t before = page.sequence.load(std::memory_order_acquire);
    if (before % 2 != 0) {
      continue;
    }
    AccountFigures figures;
    // Torn copies are possible and thrown away.
    std::memcpy(static_cast<void*>(&figures), &page.figures, sizeof figures);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (page.sequence.load(std::memory_order_relaxed) == before) {
      return figures;
    }
  }
  return std::nullopt;
}

void WriteAccountPage(AccountPage& page, const AccountFigures& figures) {
  const uint32_t before = page.sequence.load(std::memory_order_relaxed);
  page.sequence.store(before + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  std::memcpy(static_cast<void*>(&page.figures), &figures, sizeof figures);
  page.sequence.store(before + 2, std::memory_order_release);
}

}  // namespace hosting

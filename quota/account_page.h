// The account page: an account's totals, shared by hosting-usage with the mail processes of that
// account.
//
// Purpose: a mail process looks up its account's usage and limit without a round trip and without
// seeing another account. Ownership: the service makes the page (a memfd that is sealed against
// writing by others), maps it for writing and passes the descriptor; a mail
//   process maps it read-only and keeps the map after the service has gone: these are then the last
//   known figures.
// Process rules: one writer, any number of readers. A reader that meets an odd or changed sequence
// tries again, a bounded number of times. Crash rule: a writer that dies while writing leaves an
// odd sequence; the restarted service makes new pages, so such a page stays
//   unreadable and counts as "service away, figures unknown".
// The pulse page has the same size and holds the service's heartbeat: CLOCK_BOOTTIME (so that a
// clock set anew makes nobody think that the service has gone), written once a second.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace hosting {

constexpr uint32_t kAccountPageSize = 4096;  // bytes: one page of memory
constexpr uint32_t kAccountPageMagic = 0x31677068;
constexpr int64_t kPulseLateMs = 3000;  // since the last beat: the service has gone or hangs

// What one look-up gives.
struct AccountFigures {
  enum class Mode : uint32_t { kOff = 0, kRefuse = 1, kBill = 2, kReport = 3 };

  Mode mode = Mode::kOff;   // kOff: nothing is limited (no limit, or the off-switch)
  bool recounting = false;  // figures may be wrong, so nothing is refused
  uint64_t mail = 0;        // bytes of virtual size, all mailboxes
  uint64_t web = 0;         // bytes allocated
  uint64_t external = 0;    // bytes
  uint64_t messages = 0;
  uint64_t limit = 0;  // bytes of the package, extra space included; 0: none
  uint64_t hard_limit =
      0;  // bytes that are enforced (kBill: the hard limit; 0: none); else equal to limit
  uint64_t message_limit = 0;  // 0: none
  uint64_t mailbox_limit = 0;  // bytes of one mailbox (mail user); 0: none
  int64_t web_at = 0;  // Unix seconds of the oldest web figure that counts; 0: there is no web root

  [[nodiscard]] uint64_t total() const { return mail + web + external; }
};

struct AccountPage {
  uint32_t magic;
  std::atomic<uint32_t> sequence;  // odd while it is being written
  AccountFigures figures;
};
static_assert(sizeof(AccountPage) <= kAccountPageSize);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

struct PulsePage {
  uint32_t magic;
  uint32_t unused;
  std::atomic<int64_t> beat;  // ms of CLOCK_BOOTTIME
};

// The figures of a mapped page; none when it is not readable (see crash rule).
std::optional<AccountFigures> ReadAccountPage(const AccountPage& page);
// By the page's one writer.
void WriteAccountPage(AccountPage& page, const AccountFigures& figures);

}  // namespace hosting

// How much address space this process may still take: Dovecot limits its mail processes with
// RLIMIT_AS (vsz_limit), and the index map counts against it. No state.
#pragma once

#include <cstdint>

namespace lbox {

inline constexpr uint64_t kNoLimit = UINT64_MAX;

// RLIMIT_AS minus what is mapped now; kNoLimit when there is no limit, 0 when it is used up.
uint64_t AddressSpaceLeft();

}  // namespace lbox

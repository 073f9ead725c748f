// The barrier between Dovecot and the plugin "hosting" that no exception passes (see guard.h).
#pragma once

#include <exception>
#include <utility>

#include "plugin/dovecot.h"

// Runs body(); an exception (in practice std::bad_alloc) is logged and answered by `failed`.
template <typename Result, typename Body>
Result hosting_guard(Result failed, Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::exception& error) {
    i_error("hosting: %s", error.what());
    return failed;
  }
}

// For the services: after an exception (std::bad_alloc, say) nothing is sure, so the
// process ends, and the next one goes on from what is on disk.
template <typename Work>
void hosting_guard_or_exit(const Work& work) noexcept {
  try {
    work();
  } catch (const std::exception& error) {
    i_fatal("%s", error.what());
  }
}

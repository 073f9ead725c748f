// Verifying a store that may be damaged in any way.
//
// Purpose: storage/store_check.h, in a child that opens the store by itself: whatever a damaged
// index does to who reads it, the caller lives to tell. Changes nothing but the store's marks of
// dead processes, which are left alone. Processes: the calling one may have the store open or not;
// others go on using it. Failure: what keeps the store from being opened other than damage
// (kNotFound: there is none); that it is damaged is no failure.
#pragma once

#include <chrono>

#include "storage/status.h"
#include "storage/store.h"
#include "storage/store_check.h"

namespace lbox {

struct VerifyOptions {
  StoreOptions store;  // `create` is not looked at
  CheckOptions check{.records = true, .bodies = true};
  // A check that makes no progress for so long is taken for one that never will.
  std::chrono::milliseconds patience{60'000};
};

// When the index cannot be read, one finding says how that showed, and all counts are 0.
Result<CheckReport> VerifyStore(const VerifyOptions& options);

}  // namespace lbox

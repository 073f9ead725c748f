// LMDB's error codes as Status, with which both the store's index and the ledger of quota/ tell
// theirs.
#pragma once

#include <string>

#include "storage/status.h"

namespace lbox {

// What LMDB error `error` means while `what` (an action and its object) was being done.
Status LmdbStatus(int error, const std::string& what);

}  // namespace lbox

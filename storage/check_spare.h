// Checking what is beside the index, as parts of CheckStore.
//
// Purpose: CheckSpare: could a rebuild begin with index.copy and go on with the journal in use? (An
// older journal, as a cut may leave it for a while, is not looked at.) FindOrphans: files in p/ and
// l/ that no row names. Change nothing. Processes: others may go on; a file that is being saved is
// no orphan, and where somebody saves all the time none is named. Failure: of reading.
#pragma once

#include <vector>

#include "storage/store_check.h"
#include "storage/store_impl.h"

namespace lbox {

Status CheckSpare(StoreImpl& store, std::vector<Finding>* findings);
Status FindOrphans(StoreImpl& store, std::vector<Finding>* findings);

}  // namespace lbox

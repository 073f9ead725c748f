// The part of storage/store_check.h that looks into packs and large bodies.
#pragma once

#include <string>
#include <vector>

#include "storage/status.h"
#include "storage/store_check.h"
#include "storage/store_impl.h"

namespace lbox {

// Adds to `findings` what is wrong in the files, and still is when it has looked again. The index
// must not contradict itself.
Status CheckFiles(StoreImpl& store, const CheckOptions& options, std::vector<Finding>* findings);

// "INBOX", "a/b": a mailbox's storage name for people.
std::string DisplayName(const std::string& name);

}  // namespace lbox

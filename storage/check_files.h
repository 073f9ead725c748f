// The part of storage/store_check.h that looks into packs and large bodies.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "storage/rows.h"
#include "storage/status.h"
#include "storage/store_check.h"
#include "storage/store_impl.h"

namespace lbox {

// What an index, as one read transaction saw it, says is in a pack.
struct PackContents {
  struct Record {
    uint64_t body_id = 0;
    BodyRow body;
  };
  PackRow row;
  std::vector<Record> records;  // in use, sorted by offset, without overlaps
};

// Adds to `findings` what is wrong in the files, and still is when it has looked again.
Status CheckFiles(StoreImpl& store, const Guid& uuid, const std::map<uint32_t, PackContents>& packs,
                  const CheckOptions& options, std::vector<Finding>* findings);

// "INBOX", "a/b": a mailbox's storage name for people.
std::string DisplayName(const std::string& name);

}  // namespace lbox

// What is in the packs of a store, found without its index.
//
// Reads every pack from start to end. Where no record is, the next is searched at the next possible
// place, so that damage hides no more than what it touched. Nothing is changed.
// Memory: 64 bytes for each record, and the largest pack.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/found_record.h"
#include "storage/pack_record.h"
#include "storage/status.h"

namespace lbox {

struct FoundPack {
  uint32_t id = 0;
  uint64_t end = 0;      // of the last record
  uint64_t damaged = 0;  // bytes before that which belong to no record
  uint32_t records = 0;
};

struct PacksFound {
  std::vector<FoundRecord> records;
  std::vector<FoundPack> packs;  // with records or without
  Guid store;                    // whose they are
};

// `store`: whose records count; empty: the first one's found.
Result<PacksFound> ScanPacks(Env& env, const std::string& folder, const Guid& store);

// The header of a record that was found.
Result<PackRecord> ReadFoundRecord(Env& env, const std::string& folder, const FoundRecord& record);

// <folder>/p/<id>
std::string PackPathOf(const std::string& folder, uint32_t id);

}  // namespace lbox

// CURRENT: which generation of the index is in use, and which store this is.
//
// Format: "lbox-store 2\ngeneration <n>\nuuid <32 hex digits>\n"; the number in the first line is
// the store's format. Failure: kCorruption for anything else, kUnsupported for a newer format (only
// the first line is looked at then). Crash rule: replaced by rename, so it is the old or the new
// one; durable when Write has returned ok.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/env.h"
#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

struct CurrentFile {
  uint64_t generation = 0;
  Guid uuid;
  uint32_t format = 0;  // as read; what is written has kStoreFormat
};

std::string EncodeCurrent(const CurrentFile& current);
// `path` is for messages.
Result<CurrentFile> DecodeCurrent(std::string_view text, const std::string& path);

Result<CurrentFile> ReadCurrent(Env& env, const std::string& folder);  // kNotFound when absent
// Needs the exclusive lock of the store. sync: flush; see StoreOptions::sync.
Status WriteCurrent(Env& env, const std::string& folder, const CurrentFile& current, uint32_t mode,
                    int64_t gid, bool sync);

// <folder>/index.<generation>
std::string IndexPath(const std::string& folder, uint64_t generation);

}  // namespace lbox

// What is checked before a store is opened, and refused; nothing is written by any of this.
//
// Each refusal has a message of its own that names the path and what to do.
#pragma once

#include <cstdint>
#include <string>

#include "storage/env.h"
#include "storage/status.h"

namespace lbox {

// The name of a file system on which a store may not live, as several hosts may use it at once and
// LMDB's locks and shared memory do not reach across; nullptr when it may. `type` is statfs's
// f_type. FUSE: "FUSE" unless allowed.
const char* RefusedFileSystem(uint64_t type, bool allow_fuse);

// kUnsupported when `path`, or else the nearest directory above it that exists, is on such a file
// system.
Status CheckFileSystem(const std::string& path, bool allow_fuse);

// kPermission unless `path`, of which `info` tells, belongs to the effective uid.
Status CheckOwner(const std::string& path, const FileInfo& info);

// The directories p/ and l/ are there.
Status CheckFolders(Env& env, const std::string& folder);

struct Remains {
  bool any = false;       // something of a store is there: p, l, index.*
  bool creating = false;  // its creation did not finish; nothing of it was ever used
};
inline constexpr char kCreatingName[] = "CREATING";
Result<Remains> FindRemains(Env& env,
                            const std::string& folder);  // all false when the folder is not there

}  // namespace lbox

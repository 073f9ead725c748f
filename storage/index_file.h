// The index file seen without LMDB: is it safe to let LMDB map it?
//
// Purpose: LMDB believes what it finds, and a process that reads a mapped page beyond the end of
// the file is killed (SIGBUS). So size, both meta pages and where the tables begin are looked at
// first. What lies deeper shows when it is read. No state. Failure: kCorruption, naming the file
// and what is wrong; nothing is changed.
#pragma once

#include <cstdint>
#include <string>

#include "storage/env.h"
#include "storage/status.h"

namespace lbox {

struct IndexFileInfo {
  uint64_t file_bytes = 0;
  uint64_t page_bytes = 0;
  uint64_t used_bytes = 0;  // up to the last page in use, free pages among them included; may
                            // exceed file_bytes a little
};

Result<IndexFileInfo> ReadIndexFile(Env& env, const std::string& path);

}  // namespace lbox

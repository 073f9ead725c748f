// One file for a large body that several stores hold: mail to several users of one uid.
//
// Purpose: a message for ten recipients takes the disk of one, as Maildir's hard links do. Bodies
// are compared byte by byte, after they were compressed: headers may differ, and so may the stores'
// rows. Ownership: process-wide; the large body that this process saved last, by path, nothing
// open. Processes: only the process that made a file gives it to other stores, once to each, so
// that no store ever has two rows with one large_id. Failure: whatever goes wrong, the body keeps
// its own file. Crash rule: a link in tmp/ is swept like any file there; the file is durable, since
// its own save is committed.
#pragma once

#include <cstdint>
#include <string>

#include "storage/env.h"
#include "storage/pack_record.h"
#include "storage/staging.h"

namespace lbox {

// A body that was saved: `path` is its file in l/ of the store that staged it with `options`.
void RememberLarge(const StagingOptions& options, const std::string& path,
                   const LargeHeader& header);

// Links the file of the body remembered as `link_path` if it holds what `own`, complete but for its
// header, holds: as many bytes with the same hash, all alike. Returns its large_id; 0: none.
uint64_t LinkToOriginal(const StagingOptions& options, const LargeHeader& header, File& own,
                        const std::string& link_path);

}  // namespace lbox

// What the web meter's process may do: read any directory, and nothing else.
//
// Purpose: web roots belong to many users, so the process keeps CAP_DAC_READ_SEARCH, under a uid of
// its own, and gives up the rest for good: other capabilities (also from its bounding set),
// supplementary groups, gaining privileges by exec, being traced or dumped.
// Processes: the whole process, once, before its first thread and before it reads anything.
// Failure modes: a Status; the process must then end.
#pragma once

#include <cstdint>

#include "quota/status.h"

namespace hosting {

// Started as root: becomes uid (not 0) and gid. Started under that uid with the capability already
// (systemd's AmbientCapabilities): gives up the rest. Ok only once /proc would show exactly that.
Status KeepReadingOnly(uint32_t uid, uint32_t gid);

// Idle for the disk, last for the processor; silently as it was where that is refused.
void RunInBackground();

}  // namespace hosting

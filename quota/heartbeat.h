// Heartbeat: a small file by which a mail process that never reached hosting-usage learns how long
// the service has been away, and what the policy says then.
//
// Purpose: the policy's `unavailable` holds for sessions that begin during an outage, too.
// Ownership: the service writes it into its state folder, beside the spool folder, every few
// seconds; anyone may read it, and it says nothing about accounts. Process rules: one writer, any
// number of readers. Failure modes: Status; a file that cannot be read says nothing, and mail is
// accepted. Crash rule: written in place by one call, with a hash; nothing is flushed.
#pragma once

#include <cstdint>
#include <string>

#include "quota/status.h"

namespace hosting {

constexpr int64_t kHeartbeatSeconds = 5;  // between two writes

struct Heartbeat {
  int64_t at = 0;                 // Unix seconds
  uint32_t mail_stale_after = 0;  // seconds
  bool tempfail = false;          // what the policy says about unknown figures
};

Status WriteHeartbeat(const std::string& state_folder, const Heartbeat& beat);
Result<Heartbeat> ReadHeartbeat(const std::string& state_folder);

// Whether the service has been away for so long that the policy has mail refused for now. Given the
// spool folder, which mail processes know.
bool SaysTempfail(const std::string& spool_folder, int64_t now);

}  // namespace hosting

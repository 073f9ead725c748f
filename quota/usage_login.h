// LoginVerdicts: what hosting-usage tells a session that begins.
//
// Purpose: the policy's rules about protocols, once more after auth: for sessions that did not pass
// auth's module, and for those that are open when the policy changes. Ownership: remembers who was
// warned today (UTC), in memory: after a restart a user may be warned once more. Process and crash
// rules: none; no I/O, time is passed in.
#pragma once

#include <optional>
#include <string>
#include <unordered_set>

#include "quota/policy.h"
#include "usage.pb.h"

namespace hosting {

class LoginVerdicts {
 public:
  // effective: nothing when the user belongs to no account. now: Unix seconds.
  wire::Verdict Of(const ProtocolOptions& options, const std::optional<Effective>& effective,
                   const wire::Login& login, int64_t now);

 private:
  // True once a day for each user and protocol.
  bool MayWarn(const wire::Login& login, int64_t now);

  int64_t day_ = 0;
  std::unordered_set<std::string> warned_;
};

}  // namespace hosting

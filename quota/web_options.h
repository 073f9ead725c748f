// The command line of hosting-webmeter.
//
// Purpose: texts to checked values. Ownership: values. Failure modes: kInvalid, with the option and
// what it takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quota/status.h"
#include "quota/web_measure.h"

namespace hosting {

struct WebOptions {
  std::string socket = "hosting-usage";  // of hosting-usage; below Dovecot's base_dir
  std::string snapshot = "/var/lib/dovecot/hosting/policy.snapshot";
  uint32_t uid = 0, gid = 0;           // to become; not 0
  uint32_t entries_a_second = 20'000;  // 0: no limit
  WebBounds bounds;
};

// "--user hosting-web --rate 5000 ...": see docs/web.md. --user NAME (or a uid, whose gid is then
// the same) is needed.
Result<WebOptions> ParseWebOptions(const std::vector<std::string>& arguments);

}  // namespace hosting

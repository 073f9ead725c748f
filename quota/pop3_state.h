// What has to be remembered of a mail user between sessions for POP3's rules.
//
// Purpose: a small file in the mail user's folder. Process rules: readers at any time; the last of
// two writers wins, which at worst repeats a notice. Failure modes: a file that is missing or
// damaged reads as "never". Crash rule: replaced by rename; not flushed.
#pragma once

#include <cstdint>
#include <string>

#include "quota/status.h"

namespace hosting {

struct Pop3State {
  int64_t noticed = 0;  // when the notice before the first deletion was delivered; 0: never
  int64_t warned = 0;   // when the last one of POP3 removing mail was
  friend bool operator==(const Pop3State&, const Pop3State&) = default;
};

Pop3State ReadPop3State(const std::string& path);
// Also sets the file's modification time: when the rules were last looked at.
Status WritePop3State(const std::string& path, const Pop3State& state);

}  // namespace hosting

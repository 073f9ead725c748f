// What the parts of hosting-usage log through, so that quota/ knows no logging system.
#pragma once

#include <functional>
#include <string>

namespace hosting {

enum class LogLevel { kInfo, kWarning, kError };
using UsageLog = std::function<void(LogLevel, const std::string&)>;

}  // namespace hosting

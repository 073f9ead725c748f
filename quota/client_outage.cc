#include "quota/client_outage.h"

#include <map>
#include <memory>

namespace hosting {

ClientOutage& ClientOutage::Of(const std::string& socket_path) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<ClientOutage>> all;
  const std::lock_guard lock(mutex);
  auto& outage = all[socket_path];
  if (!outage) {
    outage = std::make_unique<ClientOutage>();
  }
  return *outage;
}

void ClientOutage::Begin(int64_t now_ms, int64_t retry_ms, const std::string& why, const Log& log) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = !away_;
    if (first) {
      away_ = true;
      since_ms_ = now_ms;
    }
    retry_at_ms_ = now_ms + retry_ms;
  }
  if (first && log) {
    log(true,
        "hosting-usage is away: mail goes on with the last known figures, reports are kept: " +
            why);
  }
}

void ClientOutage::End(int64_t now_ms, const Log& log) {
  int64_t seconds = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!away_) {
      return;
    }
    away_ = false;
    retry_at_ms_ = 0;
    seconds = (now_ms - since_ms_) / 1000;
  }
  if (log) {
    log(false, "hosting-usage is back after " + std::to_string(seconds) + " s");
  }
}

bool ClientOutage::TooEarly(int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  return away_ && now_ms < retry_at_ms_;
}

}  // namespace hosting

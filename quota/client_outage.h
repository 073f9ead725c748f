// ClientOutage: whether hosting-usage is away, as all clients of one process see it.
//
// Purpose: one log line an outage, and no call that waits for a service that just did not answer
// another session of this process (lmtp makes a client for each delivery). Ownership: one for each
// socket path, for as long as the process lives. Process rules: threads may share it. Crash rule:
// none.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace hosting {

class ClientOutage {
 public:
  using Log = std::function<void(bool away, const std::string& line)>;

  static ClientOutage& Of(const std::string& socket_path);

  // A call failed: no other one before retry_ms have passed.
  void Begin(int64_t now_ms, int64_t retry_ms, const std::string& why, const Log& log);
  // A call succeeded.
  void End(int64_t now_ms, const Log& log);
  [[nodiscard]] bool TooEarly(int64_t now_ms);

 private:
  std::mutex mutex_;
  bool away_ = false;
  int64_t since_ms_ = 0, retry_at_ms_ = 0;
};

}  // namespace hosting

// WebMeter: the web meter's loop: asked by hosting-usage for accounts, it walks their web roots and
// sends what it found.
//
// Purpose: all of hosting-webmeter but its privileges and Dovecot's event loop. Ownership: owns the
// connection, the walk in progress and what was not answered yet. Process rules: one thread; no
// call blocks but for the file system. Reads no clock. Failure modes: the service may be away or
// restart at any time: the meter connects again, with a pause that grows to a minute, finishes the
// walk that it is at, and sends again what was not answered; one log line an outage. A request that
// it cannot serve (no such account in the policy snapshot) closes the connection, upon which the
// service asks again later.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "quota/descriptor.h"
#include "quota/frame.h"
#include "quota/policy.h"
#include "quota/web_measure.h"
#include "quota/web_roots.h"

namespace hosting {

namespace wire {
class Reply;
}

struct WebMeterOptions {
  std::string socket_path;
  std::function<std::shared_ptr<const Policy>()> policy;  // in use now; null: none is known
  std::function<void(bool good, const std::string& line)> log;
  uint32_t entries_a_second = 20'000;  // 0: as many as there are
  WebBounds bounds;
};

class WebMeter {
 public:
  struct Now {
    WalkTime steady;
    int64_t unix_seconds = 0;
  };
  // Entries that are walked without looking at the socket.
  static constexpr uint64_t kSlice = 4096;

  explicit WebMeter(WebMeterOptions options);
  WebMeter(const WebMeter&) = delete;
  WebMeter& operator=(const WebMeter&) = delete;

  // Readable when Poll has something to do before the time that it said. The same for the meter's
  // life.
  [[nodiscard]] int fd() const { return epoll_.get(); }
  // Does what there is to do: the socket, and a part of a walk. Returns after how long at the
  // latest it has to be called again.
  std::chrono::milliseconds Poll(const Now& now);

  [[nodiscard]] bool connected() const { return stream_.has_value(); }
  [[nodiscard]] bool walking() const { return measure_ != nullptr; }

 private:
  struct Figure {
    uint64_t id;
    std::string request;  // encoded
  };

  void Connect(const Now& now);
  // Closes the connection and says why, once an outage.
  void HangUp(const Now& now, const std::string& why);
  void Receive(const Now& now);
  void Take(const wire::Reply& reply, const Now& now);
  void Begin(const Now& now);  // the next account
  void Walk(const Now& now);
  void Keep(const std::string& account, const std::string& root, const WebWalkResult& result,
            const Now& now);
  void Send(const Now& now);
  void Watch();
  [[nodiscard]] std::chrono::milliseconds Pause(const Now& now) const;

  const WebMeterOptions options_;
  Descriptor epoll_;
  std::optional<FrameStream> stream_;
  bool accepted_ = false;  // the service has answered WebMeter
  bool complained_ = false;
  std::chrono::seconds retry_;
  WalkTime connect_at_{};

  std::deque<std::string> asked_;  // accounts
  std::shared_ptr<const Policy> policy_;
  RootIndex index_;
  WalkTime indexed_at_{};
  std::unique_ptr<WebMeasure> measure_;
  WalkTime walk_at_{};  // the next slice

  std::deque<Figure> figures_;  // not answered yet
  size_t sent_ = 0;             // of them, over this connection
  uint64_t last_id_ = 0;
};

}  // namespace hosting

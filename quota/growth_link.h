// WarnLink: the connection to hosting-warn, for one way of warning.
//
// Purpose: hands it deliveries of GrowthOutbox, one at a time, as frames (WarnJob), and takes its
// answers (WarnDone). Mail and scripts have a connection each, so that a script that hangs holds up
// no mail. Ownership: of UsageServer, whose epoll descriptor it joins. Process rules: never blocks.
// Failure modes: the process may be away or die at any time: it is connected to again after a
// pause. Crash rule: a job leaves after the ledger has committed that it is under way.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "quota/frame.h"
#include "quota/growth_outbox.h"
#include "quota/usage_log.h"

namespace hosting {

class WarnLink {
 public:
  // path: empty: there is none. The descriptor is watched under this token.
  WarnLink(std::string path, int epoll, uint64_t token, GrowthOutbox::Way way, GrowthOutbox& outbox,
           UsageLog log)
      : path_(std::move(path)),
        epoll_(epoll),
        token_(token),
        way_(way),
        outbox_(outbox),
        log_(std::move(log)) {}

  // When its descriptor is ready. now: Unix seconds; now_ms: of a clock that is never set.
  void Poll(int64_t now, int64_t now_ms);
  // Once a second and after Poll: takes the next job. True when the ledger is to be committed
  // before Send.
  bool Pump(int64_t now, int64_t now_ms);
  // After the ledger was written to; saved: durably.
  void Send(bool saved, int64_t now, int64_t now_ms);

 private:
  Status Connect();
  void Drop(int64_t now, int64_t now_ms, const std::string& why);
  void Failed(const Status& status);

  std::string path_;
  int epoll_;
  uint64_t token_;
  GrowthOutbox::Way way_;
  GrowthOutbox& outbox_;
  UsageLog log_;
  std::unique_ptr<FrameStream> stream_;
  std::optional<wire::WarnJob> job_;  // under way
  bool sent_ = false;                 // it left, or a part of it
  bool look_ = true;                  // for a job: something may have come
  bool told_ = false;                 // that it is away
  int64_t looked_ms_ = 0, retry_at_ms_ = 0, pause_ms_ = 0, heard_ms_ = 0;
};

}  // namespace hosting

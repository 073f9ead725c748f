#include "quota/growth_link.h"

#include <algorithm>
#include <cerrno>

#include <sys/epoll.h>

namespace hosting {
namespace {

constexpr int64_t kFirstPauseMs = 1000;
constexpr int64_t kMaxPauseMs = 60000;
constexpr int64_t kLongestJobMs = 600000;
constexpr int64_t kIdleMs = 30000;  // then its process may end

}  // namespace

void WarnLink::Failed(const Status& status) {
  if (!status.ok()) {
    log_(LogLevel::kError, "growth warnings: " + status.message());
  }
}

Status WarnLink::Connect() {
  auto socket = ConnectUnix(path_);
  if (!socket.ok()) {
    return socket.status();
  }
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.u64 = token_;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket->get(), &event) != 0) {
    return Status::FromErrno("epoll_ctl()", errno);
  }
  stream_ = std::make_unique<FrameStream>(std::move(*socket), false);
  return {};
}

void WarnLink::Drop(int64_t now, int64_t now_ms, const std::string& why) {
  stream_.reset();
  pause_ms_ = pause_ms_ == 0 ? kFirstPauseMs : std::min(pause_ms_ * 2, kMaxPauseMs);
  retry_at_ms_ = now_ms + pause_ms_;
  if (!job_) {
    return;
  }
  if (!std::exchange(told_, true)) {
    log_(LogLevel::kWarning, "hosting-warn is away, warnings wait for it: " + why);
  }
  Failed(outbox_.Lost(job_->id(), sent_, now));
  job_.reset();
}

bool WarnLink::Pump(int64_t now, int64_t now_ms) {
  if (path_.empty() || job_ || now_ms < retry_at_ms_) {
    if (job_ && sent_ && now_ms - heard_ms_ > kLongestJobMs) {
      Drop(now, now_ms, "no answer for ten minutes");
    }
    return false;
  }
  if (!look_ && now_ms - looked_ms_ < kFirstPauseMs) {
    return false;
  }
  look_ = false;
  looked_ms_ = now_ms;
  auto job = outbox_.Take(way_, now);
  if (!job.ok()) {
    Failed(job.status());
    return false;
  }
  if (!*job) {
    if (stream_ && now_ms - heard_ms_ > kIdleMs) {
      stream_.reset();
    }
    return false;
  }
  job_ = std::move(**job);
  sent_ = false;
  return true;
}

void WarnLink::Send(bool saved, int64_t now, int64_t now_ms) {
  if (!job_ || sent_) {
    return;
  }
  if (!saved) {
    Failed(outbox_.Lost(job_->id(), false, now));
    job_.reset();
    return;
  }
  Status status = stream_ ? Status() : Connect();
  if (status.ok()) {
    sent_ = true;
    heard_ms_ = now_ms;
    status = stream_->Queue(job_->SerializeAsString());
  }
  if (status.ok()) {
    status = stream_->Flush();  // a socket's buffer takes a frame
  }
  if (!status.ok()) {
    Drop(now, now_ms, status.message());
  }
}

void WarnLink::Poll(int64_t now, int64_t now_ms) {
  if (!stream_) {
    return;
  }
  const auto open = stream_->Receive();
  while (stream_->ready()) {
    const auto message = stream_->Next();
    wire::WarnDone done;
    if (!message.ok() ||
        !done.ParseFromArray((*message)->data(), static_cast<int>((*message)->size())) || !job_ ||
        done.id() != job_->id()) {
      return Drop(now, now_ms, "it answers what it was not asked");
    }
    Failed(outbox_.Done(done, now));
    job_.reset();
    heard_ms_ = now_ms;
    pause_ms_ = 0;
    told_ = false;
    look_ = true;
  }
  if (!open.ok() || !*open) {
    Drop(now, now_ms, open.ok() ? "it closed the connection" : open.status().message());
  } else if (stream_->unsent()) {
    (void)stream_->Flush();
  }
}

}  // namespace hosting

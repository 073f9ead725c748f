#include "quota/usage_recount_link.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "quota/frame.h"
#include "quota/ledger_rows.h"

namespace hosting {
namespace {

constexpr size_t kMostCounting = 4;
constexpr size_t kMostLine = 1024;
constexpr int64_t kFirstPauseMs = 1000;
constexpr int64_t kMaxPauseMs = 60000;
constexpr int64_t kLongestCountMs = 600000;

}  // namespace

void RecountLink::Connect(int64_t now_ms) {
  auto socket = ConnectUnix(path_);
  if (!socket.ok()) {
    return Drop(now_ms, socket.status().message());
  }
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.u64 = token_;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket->get(), &event) != 0) {
    return Drop(now_ms, Status::FromErrno("epoll_ctl()", errno).message());
  }
  socket_ = std::move(*socket);
  heard_ms_ = now_ms;
}

void RecountLink::Drop(int64_t now_ms, const std::string& why) {
  socket_.Reset();
  input_.clear();
  output_.clear();
  if (!counting_.empty()) {
    service_.RecountAnswered(counting_.front(), UsageService::Counted::kTryAgain);
    counting_.clear();
    service_.RecountLost();
  }
  pause_ms_ = pause_ms_ == 0 ? kFirstPauseMs : std::min(pause_ms_ * 2, kMaxPauseMs);
  retry_at_ms_ = now_ms + pause_ms_;
  // Dovecot's master ends it when it has nothing to do.
  if (service_.recounts_waiting() != 0 && !std::exchange(told_, true)) {
    log_(LogLevel::kWarning, "hosting-recount is away, " +
                                 std::to_string(service_.recounts_waiting()) +
                                 " users wait for it: " + why);
  }
}

void RecountLink::Pump(int64_t now_ms) {
  if (path_.empty()) {
    return;
  }
  if (!socket_.valid()) {
    if (service_.recounts_waiting() == 0 || now_ms < retry_at_ms_) {
      return;
    }
    Connect(now_ms);
  }
  if (socket_.valid() && !counting_.empty() && now_ms - heard_ms_ > kLongestCountMs) {
    return Drop(now_ms, "no answer about " + Printable(counting_.front()));
  }
  while (socket_.valid() && counting_.size() < kMostCounting) {
    const auto job = service_.TakeRecount();
    if (!job) {
      break;
    }
    if (counting_.empty()) {
      heard_ms_ = now_ms;
    }
    counting_.push_back(job->user);
    output_ += job->user + (job->force ? "\tforce\n" : "\n");
  }
  Send();
}

// The few lines that are out fit the socket's buffer; what does not leave now leaves later.
void RecountLink::Send() {
  if (!socket_.valid() || output_.empty()) {
    return;
  }
  const ssize_t sent =
      send(socket_.get(), output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) {
    output_.erase(0, static_cast<size_t>(sent));
  }
}

bool RecountLink::Take(const std::string& line) {
  const size_t tab = line.rfind('\t');
  if (tab == std::string::npos) {
    return false;
  }
  const std::string user = line.substr(0, tab);
  const std::string answer = line.substr(tab + 1);
  const auto at = std::find(counting_.begin(), counting_.end(), user);
  if (at == counting_.end()) {
    return false;
  }
  UsageService::Counted counted = UsageService::Counted::kTryAgain;
  if (answer == "OK") {
    counted = UsageService::Counted::kOk;
  } else if (answer == "UNKNOWN") {
    counted = UsageService::Counted::kUnknownUser;
  } else if (answer != "TEMPFAIL") {
    return false;
  }
  counting_.erase(at);
  service_.RecountAnswered(user, counted);
  return true;
}

void RecountLink::Poll(int64_t now_ms) {
  if (!socket_.valid()) {
    return;
  }
  std::array<char, 4096> bytes;
  const ssize_t got = recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (got <= 0) {
    return Drop(now_ms, "it closed the connection");
  }
  heard_ms_ = now_ms;
  input_.append(bytes.data(), static_cast<size_t>(got));
  size_t end = 0;
  while ((end = input_.find('\n')) != std::string::npos) {
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    if (!Take(line)) {
      return Drop(now_ms, "it answered \"" + Printable(line.substr(0, kMostLine)) + "\"");
    }
    pause_ms_ = 0;
    told_ = false;
  }
  if (input_.size() > kMostLine) {
    Drop(now_ms, "it answered a line without end");
  }
}

}  // namespace hosting

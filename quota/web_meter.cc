#include "quota/web_meter.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "usage.pb.h"

namespace hosting {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kFirstRetry{1};
constexpr seconds kLongestRetry{60};
constexpr seconds kIndexAge{600};       // after which all accounts' roots are looked at again
constexpr size_t kMostAsked = 64;       // accounts waiting
constexpr size_t kMostOnTheWay = 32;    // figures sent and not answered
constexpr milliseconds kSliceTime{20};  // at a limited rate
constexpr milliseconds kLongestPause{60'000};
constexpr uint64_t kHello = 1;  // the id of the WebMeter request

}  // namespace

WebMeter::WebMeter(WebMeterOptions options)
    : options_(std::move(options)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      retry_(kFirstRetry),
      last_id_(kHello) {}

milliseconds WebMeter::Poll(const Now& now) {
  if (!stream_ && now.steady >= connect_at_) {
    Connect(now);
  }
  if (stream_) {
    Receive(now);
  }
  if (!measure_ && !asked_.empty()) {
    Begin(now);
  }
  if (measure_ && now.steady >= walk_at_) {
    Walk(now);
  }
  if (stream_) {
    Send(now);
  }
  Watch();
  return Pause(now);
}

void WebMeter::Connect(const Now& now) {
  Result<Descriptor> socket = ConnectUnix(options_.socket_path);
  if (!socket.ok()) {
    HangUp(now, socket.status().message());
    return;
  }
  stream_.emplace(std::move(socket.value()), false);
  sent_ = 0;
  accepted_ = false;
  wire::Request request;
  request.set_id(kHello);
  request.mutable_web_meter();
  const Status queued = stream_->Queue(request.SerializeAsString());
  if (!queued.ok()) {
    HangUp(now, queued.message());
  }
}

void WebMeter::HangUp(const Now& now, const std::string& why) {
  if (accepted_) {
    retry_ = kFirstRetry;
  }
  stream_.reset();
  accepted_ = false;
  asked_.clear();
  connect_at_ = now.steady + retry_;
  retry_ = std::min(retry_ * 2, kLongestRetry);
  if (!complained_) {
    complained_ = true;
    options_.log(false, "no connection to hosting-usage: " + why + "; trying again");
  }
}

void WebMeter::Receive(const Now& now) {
  while (stream_) {
    const Result<bool> open = stream_->Receive();
    if (!open.ok()) {
      HangUp(now, open.status().message());
      return;
    }
    const Result<std::optional<std::string_view>> message = stream_->Next();
    if (!message.ok()) {
      HangUp(now, message.status().message());
      return;
    }
    if (!message.value()) {
      if (!open.value()) {
        HangUp(now, "the service closed it");
      }
      return;
    }
    wire::Reply reply;
    if (!reply.ParseFromArray((*message)->data(), static_cast<int>((*message)->size()))) {
      HangUp(now, "the service sent what is no reply");
      return;
    }
    Take(reply, now);
  }
}

void WebMeter::Take(const wire::Reply& reply, const Now& now) {
  if (reply.id() == 0) {
    const std::string& account = reply.measure().account();
    const bool known = (measure_ && measure_->account() == account) ||
                       std::find(asked_.begin(), asked_.end(), account) != asked_.end();
    if (reply.has_measure() && !known) {
      if (asked_.size() >= kMostAsked) {
        HangUp(now, "the service asked for too many accounts");
        return;
      }
      asked_.push_back(account);
    }
  } else if (reply.id() == kHello) {
    if (reply.has_error()) {
      HangUp(now, "the service refused the web meter: " + Printable(reply.error().text(), 200));
      return;
    }
    accepted_ = true;
    if (complained_) {
      complained_ = false;
      options_.log(true, "connected to hosting-usage again");
    }
  } else if (sent_ > 0 && figures_.front().id == reply.id()) {
    // Taken, or of a root that is none any more: the service will not want it the next time either.
    figures_.pop_front();
    --sent_;
  } else {
    HangUp(now, "the service answered what was not asked");
  }
}

void WebMeter::Begin(const Now& now) {
  const std::string name = std::move(asked_.front());
  asked_.pop_front();
  const std::shared_ptr<const Policy> policy = options_.policy();
  const Account* account = nullptr;
  if (policy) {
    const auto found = std::lower_bound(
        policy->accounts.begin(), policy->accounts.end(), name,
        [](const Account& a, const std::string& wanted) { return a.name < wanted; });
    if (found != policy->accounts.end() && found->name == name && !found->web_roots.empty()) {
      account = &*found;
    }
  }
  if (account == nullptr) {
    HangUp(now, "asked for account " + Printable(name, 100) +
                    ", of which the policy snapshot knows no web root");
    return;
  }
  if (policy != policy_ || now.steady - indexed_at_ > kIndexAge) {
    index_ = RootIndex::Of(*policy);
    indexed_at_ = now.steady;
    policy_ = policy;
  }
  measure_ = std::make_unique<WebMeasure>(policy, *account, options_.bounds, &index_);
  walk_at_ = now.steady;
}

void WebMeter::Walk(const Now& now) {
  const uint64_t rate = options_.entries_a_second;
  const uint64_t most =
      rate == 0 ? kSlice
                : std::clamp<uint64_t>(rate * kSliceTime.count() / 1000, 1, uint64_t{kSlice});
  const uint64_t looked_at =
      measure_->Step(most, now.steady, [&](const std::string& root, const WebWalkResult& result) {
        Keep(measure_->account(), root, result, now);
      });
  if (rate > 0) {
    // From the beginning of this slice on, so that the time it took counts.
    walk_at_ = now.steady + std::chrono::nanoseconds(looked_at * 1'000'000'000 / rate);
  }
  if (measure_->finished()) {
    measure_.reset();
  }
}

void WebMeter::Keep(const std::string& account, const std::string& root,
                    const WebWalkResult& result, const Now& now) {
  wire::Request request;
  request.set_id(++last_id_);
  wire::Measured& measured = *request.mutable_measured();
  measured.set_account(account);
  measured.set_source(root);
  measured.mutable_usage()->set_bytes(result.allocated);
  measured.mutable_usage()->set_disk(result.allocated);
  measured.set_at(now.unix_seconds);
  measured.set_partial(!result.complete);
  measured.set_problem(result.problem);
  measured.set_milliseconds(result.milliseconds);
  figures_.push_back({last_id_, request.SerializeAsString()});
}

void WebMeter::Send(const Now& now) {
  Status status;
  while (status.ok() && accepted_ && sent_ < std::min(figures_.size(), kMostOnTheWay)) {
    status = stream_->Queue(figures_[sent_].request);
    ++sent_;
  }
  if (status.ok()) {
    status = stream_->Flush();
  }
  if (!status.ok()) {
    HangUp(now, status.message());
  }
}

void WebMeter::Watch() {
  if (!stream_) {
    return;  // a closed descriptor leaves the set by itself
  }
  struct epoll_event event = {};
  event.events = EPOLLIN | (stream_->unsent() ? EPOLLOUT : 0U);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, stream_->fd(), &event) != 0 && errno == ENOENT) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stream_->fd(), &event);
  }
}

milliseconds WebMeter::Pause(const Now& now) const {
  WalkTime next = now.steady + kLongestPause;
  if (!stream_) {
    next = std::min(next, connect_at_);
  }
  if (measure_) {
    next = std::min(next, walk_at_);
  } else if (!asked_.empty()) {
    next = now.steady;
  }
  return next <= now.steady ? milliseconds(0) : std::chrono::ceil<milliseconds>(next - now.steady);
}

}  // namespace hosting

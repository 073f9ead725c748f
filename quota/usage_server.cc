#include "quota/usage_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "quota/ledger_lmdb.h"
#include "quota/ledger_rows.h"
#include "quota/spool.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr uint64_t kWakeToken = 0;
constexpr uint64_t kListenToken = 1;
constexpr uint64_t kRecountToken = 2;
constexpr uint64_t kFirstWarnToken = 8;  // and those of further links
constexpr SessionId kFirstSession = 16;

constexpr int kEventsATurn = 256;
constexpr int kFramesATurn = 8;  // of one connection
constexpr int kAcceptsATurn = 64;
constexpr size_t kSpooledATick = 500;
constexpr int64_t kIntroductionMs = 5000;
constexpr int64_t kHalfFrameMs = 5000;
constexpr int64_t kUnsentMs = 30000;
constexpr int64_t kLogMs = 60000;

}  // namespace

Result<std::unique_ptr<UsageServer>> UsageServer::Start(Options options) {
  std::unique_ptr<UsageServer> server(new UsageServer(std::move(options)));
  LBOX_RETURN_IF_ERROR(server->Open());
  return server;
}

UsageServer::~UsageServer() = default;

Status UsageServer::MakeSpool() {
  const std::string spool = options_.state_folder + "/spool";
  if (mkdir(spool.c_str(), 0700) != 0 && errno != EEXIST) {
    return Status::FromErrno("mkdir(" + spool + ")", errno);
  }
  if (chmod(spool.c_str(), 03733) != 0) {
    return Status::FromErrno("chmod(" + spool + ")", errno);
  }
  return {};
}

Status UsageServer::Open() {
  next_id_ = kFirstSession;
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.valid() || !wake_.valid()) {
    return Status::FromErrno("epoll_create1()", errno);
  }
  Watch(wake_.get(), kWakeToken, EPOLLIN, false);
  LBOX_RETURN_IF_ERROR(MakeSpool());
  LBOX_ASSIGN_OR_RETURN(ledger_, OpenLmdbLedger(options_.state_folder));
  UsageService::Options service;
  service.clock = options_.clock;
  service.boot_id = options_.boot_id;
  service.log = options_.log;
  service.growth_folder = options_.state_folder + "/growth";
  service.reload = [this] { return Reload(); };
  service.status = [this] { return "connections: " + std::to_string(connections_.size()) + "\n"; };
  service.warn_helper = !options_.warn_socket.empty();
  service.announce = options_.announce;
  auto policy = options_.policy(true, nullptr);
  if (policy == nullptr) {
    policy = std::make_shared<const LoadedPolicy>(PolicySnapshot());
  }
  service_ = std::make_unique<UsageService>(*ledger_, std::move(policy), std::move(service));
  LBOX_RETURN_IF_ERROR(service_->Start());
  Beat();
  recounts_ = std::make_unique<RecountLink>(options_.recount_socket, epoll_.get(), kRecountToken,
                                            *service_, options_.log);
  for (const auto way : {wire::WarnTask::MAIL, wire::WarnTask::SCRIPT}) {
    warns_.emplace_back(options_.warn_socket, epoll_.get(), kFirstWarnToken + warns_.size(), way,
                        service_->outbox(), options_.log);
  }
  return {};
}

Status UsageServer::Stop() {
  TakeSpool();
  EndTurn();
  return service_->Stop();
}

void UsageServer::Watch(int fd, uint64_t token, uint32_t events, bool change) {
  struct epoll_event event {};
  event.events = events;
  event.data.u64 = token;
  (void)epoll_ctl(epoll_.get(), change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

void UsageServer::LogSometimes(LogLevel level, const std::string& text) {
  if (logged_ms_ != 0 && Now() - logged_ms_ < kLogMs) {
    ++unlogged_;
    return;
  }
  logged_ms_ = Now();
  options_.log(level, unlogged_ == 0
                          ? text
                          : text + " (" + std::to_string(unlogged_) + " such lines were left out)");
  unlogged_ = 0;
}

// Connections -----------------------------------------------------------------------------------

Status UsageServer::Listen(Descriptor listener) {
  const int flags = fcntl(listener.get(), F_GETFL);
  if (flags < 0 || fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Status::FromErrno("fcntl(O_NONBLOCK)", errno);
  }
  Watch(listener.get(), kListenToken, EPOLLIN, false);
  listeners_.push_back(std::move(listener));
  return {};
}

void UsageServer::Accept() {
  for (const Descriptor& listener : listeners_) {
    for (int i = 0; i < kAcceptsATurn; ++i) {
      Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket.valid()) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
          LogSometimes(LogLevel::kError, Status::FromErrno("accept()", errno).message());
        }
        break;
      }
      Take(std::move(socket), false);
    }
  }
}

size_t UsageServer::Limit(uint32_t uid) const {
  const ServiceOptions& service = service_->policy().service;
  const auto& mail = service.mail_uids;
  return uid == 0 || std::find(mail.begin(), mail.end(), uid) != mail.end()
             ? service.mail_connections
             : service.other_connections;
}

void UsageServer::Take(Descriptor connection, bool adopted) {
  if (!TryTake(std::move(connection), adopted) && adopted && options_.adopted_closed) {
    options_.adopted_closed();
  }
}

bool UsageServer::TryTake(Descriptor connection, bool adopted) {
  struct ucred peer {};
  socklen_t size = sizeof peer;
  const int flags = fcntl(connection.get(), F_GETFL);
  if (getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || flags < 0 ||
      fcntl(connection.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    LogSometimes(LogLevel::kError, Status::FromErrno("getsockopt()", errno).message());
    return false;
  }
  const auto has = by_uid_.find(peer.uid);
  if (has != by_uid_.end() && has->second >= Limit(peer.uid)) {
    LogSometimes(LogLevel::kWarning, "uid " + std::to_string(peer.uid) + " has " +
                                         std::to_string(has->second) +
                                         " connections: no more are taken");
    return false;
  }
  const SessionId id = next_id_++;
  ++by_uid_[peer.uid];
  Watch(connection.get(), id, EPOLLIN, false);
  connections_.try_emplace(id, std::move(connection), peer.uid, adopted, Now());
  service_->Connected(id, peer.uid);
  return true;
}

void UsageServer::Close(SessionId id) {
  const auto at = connections_.find(id);
  if (at == connections_.end()) {
    return;
  }
  if (--by_uid_[at->second.uid] == 0) {
    by_uid_.erase(at->second.uid);
  }
  const bool adopted = at->second.adopted;
  more_.erase(id);
  connections_.erase(at);  // closing takes it from the epoll descriptor
  service_->Disconnected(id);
  if (adopted && options_.adopted_closed) {
    options_.adopted_closed();
  }
}

void UsageServer::Read(SessionId id, Connection& connection) {
  FrameStream& stream = connection.stream;
  if (!stream.ready() && !connection.ended) {
    const auto open = stream.Receive();
    connection.ended = !open.ok() || !*open;
  }
  for (int i = 0; i < kFramesATurn && stream.ready(); ++i) {
    const auto message = stream.Next();
    wire::Request request;
    if (!message.ok() ||
        !request.ParseFromArray((*message)->data(), static_cast<int>((*message)->size()))) {
      LogSometimes(LogLevel::kWarning,
                   "a client of uid " + std::to_string(connection.uid) + " was closed: " +
                       (message.ok() ? "its message cannot be read" : message.status().message()));
      return Close(id);
    }
    service_->Handle(id, request);
  }
  if (stream.ready()) {
    more_.insert(id);
  } else if (connection.ended) {
    Close(id);
  } else {
    more_.erase(id);
    connection.half_since_ms = !stream.half()                  ? 0
                               : connection.half_since_ms == 0 ? Now()
                                                               : connection.half_since_ms;
  }
}

void UsageServer::Write(SessionId id, Connection& connection) {
  if (!connection.stream.Flush().ok()) {
    return Close(id);
  }
  const bool unsent = connection.stream.unsent();
  if (unsent != connection.watches_output) {
    connection.watches_output = unsent;
    Watch(connection.stream.fd(), id, unsent ? EPOLLIN | EPOLLOUT : EPOLLIN, true);
    connection.unsent_since_ms = unsent ? Now() : 0;
  }
}

// Turns -----------------------------------------------------------------------------------------

void UsageServer::Poll() {
  std::array<struct epoll_event, kEventsATurn> events;
  const int count = epoll_wait(epoll_.get(), events.data(), kEventsATurn, 0);
  std::set<SessionId> readable = std::exchange(more_, {});
  for (int i = 0; i < count; ++i) {
    const uint64_t token = events[i].data.u64;
    if (token == kWakeToken) {
      uint64_t times = 0;
      (void)!read(wake_.get(), &times, sizeof times);
    } else if (token == kListenToken) {
      Accept();
    } else if (token == kRecountToken) {
      recounts_->Poll(Now());
    } else if (token >= kFirstWarnToken && token < kFirstWarnToken + warns_.size()) {
      warns_[token - kFirstWarnToken].Poll(options_.clock.now(), Now());
      service_->CommitNow();
    } else {
      const auto at = connections_.find(token);
      if (at != connections_.end() && (events[i].events & EPOLLOUT) != 0) {
        Write(token, at->second);
      }
      if ((events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
        readable.insert(token);
      }
    }
  }
  for (const SessionId id : readable) {
    if (const auto at = connections_.find(id); at != connections_.end()) {
      Read(id, at->second);
    }
  }
  EndTurn();
}

void UsageServer::EndTurn() {
  recounts_->Pump(Now());
  for (WarnLink& link : warns_) {
    if (link.Pump(options_.clock.now(), Now())) {
      service_->CommitNow();
    }
  }
  const Status saved = service_->Flush();
  for (WarnLink& link : warns_) {
    link.Send(saved.ok(), options_.clock.now(), Now());
  }
  std::set<SessionId> touched, closing;
  for (Outgoing& out : service_->TakeOutgoing()) {
    const auto at = connections_.find(out.session);
    if (at == connections_.end()) {
      continue;
    }
    // A client that hears nothing keeps its report and comes back.
    if (!saved.ok() || out.close ||
        !at->second.stream.Queue(out.reply.SerializeAsString(), out.descriptors).ok()) {
      closing.insert(out.session);
    } else {
      touched.insert(out.session);
    }
  }
  for (const SessionId id : touched) {
    if (!closing.contains(id)) {
      Write(id, connections_.at(id));
    }
  }
  for (const SessionId id : closing) {
    Close(id);
  }
  if (saved.ok()) {
    for (const std::string& name : spool_done_) {
      if (const Status status = RemoveSpool(options_.state_folder + "/spool", name);
          !status.ok() && status.code() != Code::kNotFound) {
        LogSometimes(LogLevel::kError, status.message());
      }
    }
  }
  spool_done_.clear();
  if (!more_.empty()) {
    const uint64_t once = 1;
    (void)!write(wake_.get(), &once, sizeof once);
  }
}

void UsageServer::Beat() {
  const int64_t now = options_.clock.now();
  const ServiceOptions& service = service_->policy().service;
  const Heartbeat beat{now, service.mail_stale_after, service.unavailable_tempfail};
  if (std::abs(now - beat_.at) < kHeartbeatSeconds && beat.tempfail == beat_.tempfail &&
      beat.mail_stale_after == beat_.mail_stale_after) {
    return;
  }
  beat_ = beat;
  if (const Status status = WriteHeartbeat(options_.state_folder, beat); !status.ok()) {
    LogSometimes(LogLevel::kError, status.message());
  }
}

void UsageServer::Tick() {
  if (auto policy = options_.policy(false, nullptr)) {
    service_->SetPolicy(std::move(policy));
  }
  Beat();
  service_->Tick();
  TakeSpool();
  CloseLate();
  EndTurn();
}

std::string UsageServer::Reload() {
  std::string text;
  if (auto policy = options_.policy(true, &text)) {
    service_->SetPolicy(std::move(policy));
    Beat();
  }
  return text;
}

void UsageServer::CloseLate() {
  const int64_t now = Now();
  std::vector<SessionId> late;
  for (const auto& [id, connection] : connections_) {
    const auto since = [now](int64_t when, int64_t most) { return when != 0 && now - when > most; };
    if ((since(connection.since_ms, kIntroductionMs) && !service_->Introduced(id)) ||
        since(connection.half_since_ms, kHalfFrameMs) ||
        since(connection.unsent_since_ms, kUnsentMs)) {
      late.push_back(id);
    }
  }
  for (const SessionId id : late) {
    Close(id);
  }
}

void UsageServer::TakeSpool() {
  const std::string folder = options_.state_folder + "/spool";
  const auto names = ListSpool(folder, kSpooledATick, options_.clock.now());
  if (!names.ok()) {
    return LogSometimes(LogLevel::kError, names.status().message());
  }
  size_t later = 0;
  for (const std::string& name : *names) {
    wire::Spooled spooled;
    SpoolFile file;
    const Status status = ReadSpool(folder, name, spooled, file);
    if (status.code() == Code::kNotFound) {
      continue;
    }
    if (!status.ok()) {
      LogSometimes(LogLevel::kWarning, status.message());
      if (status.code() != Code::kInvalid) {
        continue;  // it may be read another time
      }
    } else {
      // The session of a young mark may be alive, and come back. But marks must not keep reports
      // out.
      const bool young =
          std::abs(options_.clock.now() - file.modified) < options_.clock.return_seconds;
      const auto answer =
          service_->TakeSpooled(file.owner, spooled, young && later < kSpooledATick / 2);
      if (answer == UsageService::SpoolAnswer::kLater) {
        ++later;
        continue;
      }
      if (answer == UsageService::SpoolAnswer::kUseless) {
        std::string text = folder;
        text += "/" + name + " is of no use: uid " + std::to_string(file.owner);
        text += " may not speak for its user";
        LogSometimes(LogLevel::kWarning, text);
      }
    }
    spool_done_.push_back(name);
  }
}

}  // namespace hosting

// UsageServer: hosting-usage but for whoever runs its loop: connections, limits, spool, policy,
// ledger.
//
// Purpose: everything that has a descriptor, around UsageService. fd() is an epoll descriptor,
// which can itself be watched: when it is readable, Poll() handles what is ready, a bounded part of
// each connection. Ownership: owns ledger, service and connections. Process rules: one thread,
// never blocks but for the ledger's flushes. Failure modes: a peer that breaks the framing, is too
// slow, or one too many is closed; the others do not notice. Crash rule: replies leave after what
// they say is saved.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "quota/descriptor.h"
#include "quota/frame.h"
#include "quota/growth_link.h"
#include "quota/heartbeat.h"
#include "quota/ledger.h"
#include "quota/usage_log.h"
#include "quota/usage_recount_link.h"
#include "quota/usage_service.h"

namespace hosting {

class UsageServer {
 public:
  // The policy in force: `always` at the start and when somebody asks, with what to tell them; else
  // null when it has not changed.
  using PolicyFeed =
      std::function<std::shared_ptr<const LoadedPolicy>(bool always, std::string* text)>;

  struct Options {
    std::string state_folder;
    std::string recount_socket;  // empty: nobody counts
    std::string warn_socket;     // empty: warnings of growth are not sent by mail and script
    std::function<void(const GrowthOutbox::Announcement&)> announce;  // UsageService's
    PolicyFeed policy;
    UsageMail::Clock clock;
    std::string boot_id;
    UsageLog log;
    std::function<void()> adopted_closed;  // for each connection that Adopt took, at its end
  };

  // Opens or makes what the state folder holds; the folder itself must exist.
  static Result<std::unique_ptr<UsageServer>> Start(Options options);
  ~UsageServer();  // as if it had been killed: see Stop

  [[nodiscard]] int fd() const { return epoll_.get(); }
  void Poll();
  // Once a second.
  void Tick();
  // Takes over a connected socket, or one that listens.
  void Adopt(Descriptor connection) { Take(std::move(connection), true); }
  Status Listen(Descriptor listener);
  // Reads the policy again, whether or not it has changed.
  std::string Reload();
  // Orderly end: the next start knows that nothing is missing.
  Status Stop();
  [[nodiscard]] size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    Connection(Descriptor socket, uint32_t peer, bool taken_over, int64_t now)
        : stream(std::move(socket), false), uid(peer), adopted(taken_over), since_ms(now) {}
    FrameStream stream;
    uint32_t uid;
    bool adopted;
    int64_t since_ms;
    int64_t half_since_ms = 0;    // 0: no frame is half there
    int64_t unsent_since_ms = 0;  // 0: nothing waits for the peer to read
    bool watches_output = false;
    bool ended = false;  // the peer has closed its end
  };

  explicit UsageServer(Options options) : options_(std::move(options)) {}
  Status Open();
  Status MakeSpool();
  void Watch(int fd, uint64_t token, uint32_t events, bool change);
  void Accept();
  void Take(Descriptor connection, bool adopted);
  bool TryTake(Descriptor connection, bool adopted);
  void Read(SessionId id, Connection& connection);
  void Write(SessionId id, Connection& connection);
  void Close(SessionId id);
  void EndTurn();
  void CloseLate();
  void Beat();
  void TakeSpool();
  void LogSometimes(LogLevel level, const std::string& text);
  [[nodiscard]] size_t Limit(uint32_t uid) const;
  [[nodiscard]] int64_t Now() const { return options_.clock.boot_ms(); }

  Options options_;
  Descriptor epoll_, wake_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<UsageService> service_;
  std::unique_ptr<RecountLink> recounts_;
  std::vector<WarnLink> warns_;  // by mail, by script
  std::vector<Descriptor> listeners_;
  std::map<SessionId, Connection> connections_;
  std::map<uint32_t, size_t> by_uid_;
  std::set<SessionId> more_;             // whole frames wait in their buffers
  std::vector<std::string> spool_done_;  // to be removed once they are saved
  SessionId next_id_;
  Heartbeat beat_;  // written last
  int64_t logged_ms_ = 0;
  uint64_t unlogged_ = 0;
};

}  // namespace hosting

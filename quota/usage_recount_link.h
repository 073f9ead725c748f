// RecountLink: the connection to hosting-recount.
//
// Purpose: hands it users, a line each ("user\n", or "user\tforce\n" to have each message's size
// looked up again), a few at a time, and takes its answers ("user\tOK\n", UNKNOWN or TEMPFAIL).
// Ownership: of UsageServer, whose epoll descriptor it joins. Process rules: never blocks. Failure
// modes: the process may be away or die at any time: it is connected to again after a pause, and
// whom it was counting first has to wait, lest one user keep all others from being counted. Crash
// rule: none; the ledger says who waits.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "quota/descriptor.h"
#include "quota/usage_log.h"
#include "quota/usage_service.h"

namespace hosting {

class RecountLink {
 public:
  // The descriptor is watched under this token of the epoll descriptor.
  RecountLink(std::string path, int epoll, uint64_t token, UsageService& service, UsageLog log)
      : path_(std::move(path)),
        epoll_(epoll),
        token_(token),
        service_(service),
        log_(std::move(log)) {}

  // When its descriptor is ready.
  void Poll(int64_t now_ms);
  // After each turn and once a second: connects when somebody waits, and hands out users.
  void Pump(int64_t now_ms);

 private:
  void Connect(int64_t now_ms);
  void Send();
  bool Take(const std::string& line);
  void Drop(int64_t now_ms, const std::string& why);

  std::string path_;
  int epoll_;
  uint64_t token_;
  UsageService& service_;
  UsageLog log_;
  Descriptor socket_;
  std::string input_, output_;
  std::deque<std::string> counting_;
  int64_t retry_at_ms_ = 0, pause_ms_ = 0, heard_ms_ = 0;
  bool told_ = false;  // that it is away
};

}  // namespace hosting

#include "plugin/hosting-connection.h"

#include <chrono>
#include <list>

#include "plugin/hosting-guard.h"

extern "C" {
#include "plugin/hosting-module.h"
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned int kTurnMs = 1000;  // as often as a client tries to connect again
constexpr std::chrono::seconds kLingerLimit{3};

struct lingering {
  std::unique_ptr<hosting_connection> connection;
  Clock::time_point until;
};

// Of this process; never destroyed, since modules are unloaded before static objects would be.
std::list<lingering>& lingerers() {
  static auto* list = new std::list<lingering>;
  return *list;
}

extern "C" {

static void hosting_connection_turn(void* context) noexcept {
  hosting_guard(0, [&] {
    static_cast<hosting_connection*>(context)->turn();
    return 0;
  });
}

}  // extern "C"

}  // namespace

hosting_connection::~hosting_connection() {
  unwatch();
  if (client_ != nullptr) {
    client_->Close();
  }
}

void hosting_connection::abandon() {
  unwatch();
  client_.reset();
}

void hosting_connection::turn() {
  call([](hosting::UsageClient& client) { client.Pump(); });
  if (done_) {
    done_();
  }
}

void hosting_connection::watch() {
  if (client_ == nullptr) {
    return;
  }
  if (client_->fd() >= 0) {
    io_ = io_add_to(io_loop_get_root(), client_->fd(), IO_READ, hosting_connection_turn,
                    static_cast<void*>(this));
  }
  if (client_->unreported()) {
    to_ = timeout_add_to(io_loop_get_root(), kTurnMs, hosting_connection_turn,
                         static_cast<void*>(this));
  }
}

void hosting_connection::unwatch() {
  io_remove(&io_);
  timeout_remove(&to_);
}

void hosting_linger(std::unique_ptr<hosting_connection> connection) {
  // Without a connection there is no answer to wait for: it goes to the spool now.
  if (!connection->client().unreported() || connection->client().fd() < 0) {
    return;
  }
  auto& list = lingerers();
  list.push_back({std::move(connection), Clock::now() + kLingerLimit});
  const auto me = std::prev(list.end());
  me->connection->after_turn([&list, me] {
    if (!me->connection->client().unreported() || me->connection->client().fd() < 0 ||
        Clock::now() > me->until) {
      list.erase(me);
    }
  });
}

void hosting_linger_deinit(void) {
  hosting_guard(0, [] {
    lingerers().clear();
    return 0;
  });
}

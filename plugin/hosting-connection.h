// A connection to hosting-usage in Dovecot's event loop.
//
// Purpose: keeps a hosting::UsageClient going: answers are read as they come, what waits is sent
// again every second. Ownership: of the client. When it is still waiting for an answer at the end
// of its session, it is left to itself (hosting_linger), so that a delivery does not wait for the
// service's disk; a process that ends waits for it, within hosting::kCallLimit. Process rules: as
// the client's; it lives in the process's root event loop, since sessions come and go with their
// own.
#pragma once

#include <functional>
#include <memory>

#include "plugin/dovecot.h"
#include "quota/usage_client.h"

class hosting_connection {
 public:
  explicit hosting_connection(std::unique_ptr<hosting::UsageClient> client)
      : client_(std::move(client)) {}
  // Ends it in order: waits within the call limit, then spools.
  ~hosting_connection();
  hosting_connection(const hosting_connection&) = delete;
  hosting_connection& operator=(const hosting_connection&) = delete;

  // body(client). The watch is taken away around it, since the client may close its descriptor and
  // open another in any call.
  template <typename Body>
  auto call(Body&& body) {
    struct watch_again {
      hosting_connection* connection;
      explicit watch_again(hosting_connection* c) : connection(c) { c->unwatch(); }
      ~watch_again() { connection->watch(); }
    } const again(this);
    return body(*client_);
  }
  [[nodiscard]] const hosting::UsageClient& client() const { return *client_; }
  // Ends it without Bye: the service has the user recounted.
  void abandon();
  // Called after each turn that the event loop gave to the connection; it may destroy it.
  void after_turn(std::function<void()> done) { done_ = std::move(done); }
  void turn();

 private:
  void watch();
  void unwatch();

  std::unique_ptr<hosting::UsageClient> client_;
  std::function<void()> done_;
  struct io* io_ = nullptr;
  struct timeout* to_ = nullptr;
};

// Lets a connection go on until its report has been answered, a few seconds at most.
void hosting_linger(std::unique_ptr<hosting_connection> connection);

// For the tests of the web meter: hosting-usage's side of the socket, played by the test.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "quota/frame.h"
#include "usage.pb.h"

namespace hosting {

// hosting-usage's side of the socket.
class Service {
 public:
  explicit Service(const std::string& path) : path_(path) {
    listener_ = Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 10), 0);
  }
  ~Service() { unlink(path_.c_str()); }

  // False when nobody connects within the time.
  bool Accept(int wait_ms = 0) {
    struct pollfd waiting = {listener_.get(), POLLIN, 0};
    poll(&waiting, 1, wait_ms);
    Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      return false;
    }
    stream_.emplace(std::move(socket), false);
    return true;
  }
  void Close() { stream_.reset(); }
  // The next request that is there, or comes within the time.
  std::optional<wire::Request> Next(int wait_ms = 0) {
    struct pollfd waiting = {stream_->fd(), POLLIN, 0};
    if (!stream_->ready()) {
      poll(&waiting, 1, wait_ms);
    }
    const Result<bool> open = stream_->Receive();
    EXPECT_TRUE(open.ok() && *open) << "the meter has closed the connection";
    const auto message = stream_->Next();
    if (!message.ok() || !*message) {
      return std::nullopt;
    }
    wire::Request request;
    EXPECT_TRUE(request.ParseFromArray((*message)->data(), static_cast<int>((*message)->size())));
    return request;
  }
  void Say(const std::string& bytes) {
    ASSERT_TRUE(stream_->Queue(bytes).ok());
    ASSERT_TRUE(stream_->Flush().ok());
  }
  void Answer(uint64_t id) {
    wire::Reply reply;
    reply.set_id(id);
    Say(reply.SerializeAsString());
  }
  void Ask(const std::string& account) {
    wire::Reply reply;
    reply.mutable_measure()->set_account(account);
    Say(reply.SerializeAsString());
  }
  bool MeterHasGone() {
    const Result<bool> open = stream_->Receive();
    return !open.ok() || !*open;
  }
  int fd() const { return stream_->fd(); }

 private:
  const std::string path_;
  Descriptor listener_;
  std::optional<FrameStream> stream_;
};

}  // namespace hosting

// FrameStream: frames and descriptors over one end of a UNIX stream socket.
//
// Purpose: usage.proto's framing (a 4-byte little-endian length, 1 to 65,536, then the message),
// bounded in both directions, never blocking. Ownership: owns the socket, the descriptors that came
// and were not taken, and copies of those that wait to be sent. Process rules: one thread; not
// across fork. Failure modes: kInvalid (the peer does not keep to the framing), kFull (the peer
// does not read), kIo and others of the socket: after any of them the connection is of no use.
// Crash rule: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "quota/descriptor.h"
#include "quota/status.h"

namespace hosting {

constexpr size_t kMaxFrameBytes = 65536;  // of the message, without its length
constexpr size_t kFrameLengthBytes = 4;
constexpr size_t kMaxOutputBytes = 4 * kMaxFrameBytes;  // that may wait for a slow reader
constexpr size_t kMaxFrameDescriptors = 4;

// A connected, non-blocking, close-on-exec socket. kUnavailable when nobody listens there, or the
// listener is too busy to take one more now.
Result<Descriptor> ConnectUnix(const std::string& path);

class FrameStream {
 public:
  // Takes over a connected, non-blocking socket. Without take_descriptors, those that the peer
  // sends are dropped by the kernel.
  FrameStream(Descriptor socket, bool take_descriptors);

  [[nodiscard]] int fd() const { return socket_.get(); }

  // Reads of what is there, a bounded part, unless a whole message is already there. False: the
  // peer has closed its end; what came before it can still be taken.
  Result<bool> Receive();
  // The next whole message, valid until the next call of Receive or Next; none yet otherwise.
  Result<std::optional<std::string_view>> Next();
  // True when Next would give a message, or would fail.
  [[nodiscard]] bool ready() const;
  // True while a part of a frame has come.
  [[nodiscard]] bool half() const { return !ready() && begin_ < input_.size(); }
  // The oldest descriptor that has come; none: an invalid one.
  Descriptor TakeDescriptor();

  // Puts a message behind what waits to be sent; copies of the descriptors go with its first byte.
  Status Queue(std::string_view message, std::span<const int> descriptors = {});
  // Sends what the socket takes now.
  Status Flush();
  [[nodiscard]] bool unsent() const { return !output_.empty(); }

 private:
  struct Output {
    std::string bytes;
    size_t sent = 0;
    std::vector<Descriptor> descriptors;
  };

  [[nodiscard]] size_t Length() const;  // that the frame at begin_ says; needs its 4 bytes
  void KeepDescriptors(::msghdr& message);
  Result<bool> SendFirst();  // false: the socket takes no more

  Descriptor socket_;
  bool take_descriptors_;
  std::string input_;
  size_t begin_ = 0;  // of what was not taken from input_
  std::deque<Descriptor> received_;
  std::deque<Output> output_;
  size_t output_bytes_ = 0;
};

}  // namespace hosting

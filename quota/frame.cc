#include "quota/frame.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/un.h>

namespace hosting {
namespace {

constexpr size_t kMaxReceived = 16;  // descriptors that nobody took: more are closed
constexpr size_t kReceiveBytes = 16384;
constexpr size_t kKeptBytes = 4096;  // of an empty buffer: there may be thousands of connections

std::string Prefix(size_t length) {
  std::string bytes(kFrameLengthBytes, '\0');
  for (size_t i = 0; i < kFrameLengthBytes; ++i) {
    bytes[i] = static_cast<char>(static_cast<uint8_t>(length >> (8 * i)));
  }
  return bytes;
}

bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

Result<Descriptor> ConnectUnix(const std::string& path) {
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Status(Code::kInvalid, "connect(" + path + "): a socket's path has 1 to 107 bytes");
  }
  path.copy(address.sun_path, path.size());
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return Status::FromErrno("socket()", errno);
  }
  int rc = 0;
  do {
    rc = connect(socket.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof address);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) {
    const Status status = Status::FromErrno("connect(" + path + ")", errno);
    return Status(status.code() == Code::kPermission ? Code::kPermission : Code::kUnavailable,
                  status.message());
  }
  return socket;
}

FrameStream::FrameStream(Descriptor socket, bool take_descriptors)
    : socket_(std::move(socket)), take_descriptors_(take_descriptors) {}

size_t FrameStream::Length() const {
  size_t length = 0;
  for (size_t i = 0; i < kFrameLengthBytes; ++i) {
    length |= static_cast<size_t>(static_cast<uint8_t>(input_[begin_ + i])) << (8 * i);
  }
  return length;
}

bool FrameStream::ready() const {
  const size_t have = input_.size() - begin_;
  if (have < kFrameLengthBytes) {
    return false;
  }
  const size_t length = Length();
  return length == 0 || length > kMaxFrameBytes || have >= kFrameLengthBytes + length;
}

Result<std::optional<std::string_view>> FrameStream::Next() {
  if (!ready()) {
    return std::optional<std::string_view>();
  }
  const size_t length = Length();
  if (length == 0 || length > kMaxFrameBytes) {
    return Status(Code::kInvalid, "a frame of " + std::to_string(length) + " bytes: 1 to " +
                                      std::to_string(kMaxFrameBytes) + " are allowed");
  }
  const std::string_view message(input_.data() + begin_ + kFrameLengthBytes, length);
  begin_ += kFrameLengthBytes + length;
  return std::optional<std::string_view>(message);
}

Result<bool> FrameStream::Receive() {
  if (ready()) {
    return true;  // take these first
  }
  input_.erase(0, begin_);
  begin_ = 0;
  if (input_.empty() && input_.capacity() > kKeptBytes) {
    input_.shrink_to_fit();
  }

  std::array<char, kReceiveBytes> bytes;
  struct iovec piece {
    bytes.data(), std::min(bytes.size(), kFrameLengthBytes + kMaxFrameBytes - input_.size())
  };
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(kMaxFrameDescriptors * sizeof(int))> control;
  struct msghdr message {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (take_descriptors_) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  ssize_t got = 0;
  do {
    got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    return WouldBlock(errno) ? Result<bool>(true)
                             : Result<bool>(Status::FromErrno("recvmsg()", errno));
  }
  input_.append(bytes.data(), static_cast<size_t>(got));
  if (take_descriptors_) {
    KeepDescriptors(message);
  }
  return got > 0;
}

void FrameStream::KeepDescriptors(::msghdr& message) {
  for (struct cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      Descriptor descriptor(fd);
      if (received_.size() < kMaxReceived) {
        received_.push_back(std::move(descriptor));
      }
    }
  }
}

Descriptor FrameStream::TakeDescriptor() {
  if (received_.empty()) {
    return {};
  }
  Descriptor descriptor = std::move(received_.front());
  received_.pop_front();
  return descriptor;
}

Status FrameStream::Queue(std::string_view message, std::span<const int> descriptors) {
  if (message.empty() || message.size() > kMaxFrameBytes ||
      descriptors.size() > kMaxFrameDescriptors) {
    return Status(Code::kInvalid,
                  "a message of " + std::to_string(message.size()) + " bytes fits no frame");
  }
  if (output_bytes_ + kFrameLengthBytes + message.size() > kMaxOutputBytes) {
    return Status(Code::kFull, "the peer does not read what it is sent");
  }
  std::vector<Descriptor> copies;
  for (const int fd : descriptors) {
    copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copies.back().valid()) {
      return Status::FromErrno("dup()", errno);
    }
  }
  output_bytes_ += kFrameLengthBytes + message.size();
  // Without descriptors it joins what waits before it: one call sends all of it.
  if (output_.empty() || !copies.empty()) {
    output_.emplace_back();
  }
  Output& output = output_.back();
  output.bytes += Prefix(message.size());
  output.bytes += message;
  if (!copies.empty()) {
    output.descriptors = std::move(copies);
  }
  return {};
}

Result<bool> FrameStream::SendFirst() {
  Output& output = output_.front();
  struct iovec piece {
    output.bytes.data() + output.sent, output.bytes.size() - output.sent
  };
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(kMaxFrameDescriptors * sizeof(int))>
      control{};
  struct msghdr message {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!output.descriptors.empty()) {
    const size_t bytes = output.descriptors.size() * sizeof(int);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(bytes);
    for (size_t i = 0; i < output.descriptors.size(); ++i) {
      const int fd = output.descriptors[i].get();
      std::memcpy(CMSG_DATA(part) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    return WouldBlock(errno) ? Result<bool>(false)
                             : Result<bool>(Status::FromErrno("sendmsg()", errno));
  }
  output.descriptors.clear();  // they went with the first byte
  output.sent += static_cast<size_t>(sent);
  output_bytes_ -= static_cast<size_t>(sent);
  if (output.sent == output.bytes.size()) {
    output_.pop_front();
  }
  return true;
}

Status FrameStream::Flush() {
  while (!output_.empty()) {
    const auto more = SendFirst();
    if (!more.ok()) {
      return more.status();
    }
    if (!*more) {
      break;
    }
  }
  return {};
}

}  // namespace hosting

// Framing over a real socket pair: bounds, pieces, descriptors, a peer that does not read.
#include "quota/frame.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace hosting {
namespace {

struct Pair {
  Pair() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    raw = ends[0];
    here.emplace(Descriptor(ends[0]), true);
    there.emplace(Descriptor(ends[1]), true);
  }
  int raw = -1;  // of here
  std::optional<FrameStream> here, there;
};

std::optional<std::string> Take(FrameStream& stream) {
  while (!stream.ready()) {
    const auto open = stream.Receive();
    if (!open.ok() || !*open || !stream.half()) {
      break;
    }
  }
  const auto message = stream.Next();
  return message.ok() && *message ? std::optional<std::string>(**message) : std::nullopt;
}

TEST(Frame, MessagesOfEverySize) {
  Pair pair;
  for (const size_t size : {1U, 3U, 4U, 5U, 16384U, 65535U, 65536U}) {
    const std::string message(size, static_cast<char>('a' + size % 26));
    ASSERT_TRUE(pair.here->Queue(message).ok());
    ASSERT_TRUE(pair.here->Flush().ok());
    EXPECT_EQ(Take(*pair.there), message) << size;
  }
  EXPECT_EQ(pair.here->Queue("").code(), Code::kInvalid);
  EXPECT_EQ(pair.here->Queue(std::string(65537, 'x')).code(), Code::kInvalid);
}

TEST(Frame, ByteByByte) {
  Pair pair;
  const std::string bytes("\x02\0\0\0hi\x01\0\0\0x", 11);
  std::string got;
  for (const char c : bytes) {
    ASSERT_EQ(write(pair.raw, &c, 1), 1);
    ASSERT_TRUE(*pair.there->Receive());
    while (pair.there->ready()) {
      got += std::string(**pair.there->Next()) + "|";
    }
    EXPECT_EQ(pair.there->half(), !(got == "hi|" && c == 'i') && c != 'x');
  }
  EXPECT_EQ(got, "hi|x|");
}

TEST(Frame, RefusesLengthsOutOfBounds) {
  for (const std::string& head :
       {std::string(4, '\0'), std::string("\x01\0\x01\0", 4), std::string("\xff\xff\xff\xff", 4)}) {
    Pair pair;
    ASSERT_EQ(write(pair.raw, head.data(), head.size()), 4);
    ASSERT_TRUE(*pair.there->Receive());
    EXPECT_TRUE(pair.there->ready());
    EXPECT_EQ(pair.there->Next().status().code(), Code::kInvalid);
  }
}

TEST(Frame, EndIsSeenBehindTheLastMessage) {
  Pair pair;
  ASSERT_TRUE(pair.here->Queue("last").ok());
  ASSERT_TRUE(pair.here->Flush().ok());
  pair.here.reset();
  ASSERT_TRUE(*pair.there->Receive());
  EXPECT_EQ(std::string(**pair.there->Next()), "last");
  EXPECT_FALSE(*pair.there->Receive());
}

TEST(Frame, DescriptorsComeWithTheirFrame) {
  Pair pair;
  const Descriptor one(memfd_create("one", MFD_CLOEXEC));
  const Descriptor two(memfd_create("two", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(one.get(), 111), 0);
  ASSERT_EQ(ftruncate(two.get(), 222), 0);
  ASSERT_TRUE(pair.here->Queue("before").ok());
  const int both[] = {one.get(), two.get()};
  ASSERT_TRUE(pair.here->Queue("with", both).ok());
  ASSERT_TRUE(pair.here->Queue("after").ok());
  ASSERT_TRUE(pair.here->Flush().ok());
  EXPECT_EQ(Take(*pair.there), "before");
  EXPECT_EQ(Take(*pair.there), "with");
  for (const off_t size : {111, 222}) {
    const Descriptor got = pair.there->TakeDescriptor();
    struct stat info {};
    ASSERT_EQ(fstat(got.get(), &info), 0);
    EXPECT_EQ(info.st_size, size);
    EXPECT_EQ(fcntl(got.get(), F_GETFD), FD_CLOEXEC);
  }
  EXPECT_FALSE(pair.there->TakeDescriptor().valid());
  EXPECT_EQ(Take(*pair.there), "after");
}

TEST(Frame, UnwantedDescriptorsAreDropped) {
  Pair pair;
  FrameStream service(Descriptor(dup(pair.there->fd())), false);
  const Descriptor file(memfd_create("file", MFD_CLOEXEC));
  const int descriptor = file.get();
  const int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(before);
  ASSERT_TRUE(pair.here->Queue("x", {&descriptor, 1}).ok());
  ASSERT_TRUE(pair.here->Flush().ok());
  EXPECT_EQ(Take(service), "x");
  const int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(after);
  EXPECT_EQ(after, before);
}

TEST(Frame, OutputIsBounded) {
  Pair pair;
  const std::string message(60000, 'x');
  Status status;
  int sent = 0;
  while (status.ok() && sent < 100) {
    status = pair.here->Queue(message);
    if (status.ok()) {
      ++sent;
      ASSERT_TRUE(pair.here->Flush().ok());
    }
  }
  EXPECT_EQ(status.code(), Code::kFull);
  EXPECT_TRUE(pair.here->unsent());
  int came = 0;
  for (int i = 0; i < 1000 && came < sent; ++i) {
    ASSERT_TRUE(pair.here->Flush().ok());
    if (const auto got = Take(*pair.there)) {
      EXPECT_EQ(*got, message);
      ++came;
    }
  }
  EXPECT_EQ(came, sent);
  EXPECT_FALSE(pair.here->unsent());
}

TEST(Frame, ConnectSaysWhy) {
  EXPECT_EQ(ConnectUnix("/nonexistent/socket").status().code(), Code::kUnavailable);
  EXPECT_EQ(ConnectUnix(std::string(108, 'x')).status().code(), Code::kInvalid);
}

}  // namespace
}  // namespace hosting

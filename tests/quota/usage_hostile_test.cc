// Clients that do not mean well, on the real service's socket: garbage, huge and half frames,
// floods, readers that do not read, silent ones, too many, wrong uids, writers to shared pages.
#include <chrono>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "quota/page_map.h"
#include "quota/spool.h"
#include "tests/quota/usage_policy.h"
#include "tests/quota/usage_process.h"
#include "usage.pb.h"

namespace hosting {
namespace {

class Hostile : public ::testing::Test {
 protected:
  Hostile() { process_.Start(); }
  ~Hostile() override {
    // Whatever was done to it: it lives, and serves.
    auto client = process_.Client("ann@a1.test");
    client->Report(Amount(4242, 1), {});
    EXPECT_TRUE(Eventually([&] { return client->Figures().figures.mail == 4242; }));
    client->Close();
    process_.Stop();
  }

  // A connection of a uid's own; `work` gives 0 when all was as it should be.
  template <typename Work>
  int As(uint32_t uid, const Work& work) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(uid) != 0 || setuid(uid) != 0) {
        _exit(99);
      }
      _exit(work());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  [[nodiscard]] FrameStream Connect() const {
    auto socket = ConnectUnix(process_.socket());
    EXPECT_TRUE(socket.ok()) << socket.status().message();
    return FrameStream(socket.ok() ? std::move(*socket) : Descriptor(), true);
  }
  // Sends all of it, waiting for room where need be; false when the service has closed.
  static bool Send(FrameStream& stream, const std::string& bytes) {
    size_t at = 0;
    return Eventually([&] {
             const ssize_t sent = send(stream.fd(), bytes.data() + at, bytes.size() - at,
                                       MSG_DONTWAIT | MSG_NOSIGNAL);
             if (sent < 0) {
               return errno != EAGAIN;
             }
             at += static_cast<size_t>(sent);
             return at == bytes.size();
           }) &&
           at == bytes.size();
  }
  static bool IsClosed(FrameStream& stream, int seconds = 20) {
    return Eventually(
        [&] {
          const auto open = stream.Receive();
          while (stream.ready() && stream.Next().ok()) {
          }
          return !open.ok() || !*open;
        },
        seconds);
  }
  static std::optional<wire::Reply> Ask(FrameStream& stream, wire::Request request) {
    request.set_id(1);
    wire::Reply reply;
    if (!stream.Queue(request.SerializeAsString()).ok() || !stream.Flush().ok() ||
        !Eventually([&] { return !stream.Receive().ok() || stream.ready(); })) {
      return std::nullopt;
    }
    const auto message = stream.Next();
    if (!message.ok() || !*message ||
        !reply.ParseFromArray((*message)->data(), static_cast<int>((*message)->size()))) {
      return std::nullopt;
    }
    return reply;
  }
  static wire::Request HelloOf(const std::string& user) {
    wire::Request request;
    request.mutable_hello()->set_user(user);
    return request;
  }

  UsageProcess process_;
};

TEST_F(Hostile, GarbageAndHugeFramesAreClosed) {
  for (const std::string& bytes :
       {std::string(4, '\0'), std::string("\xff\xff\xff\xff"),
        std::string("GET / HTTP/1.0\r\n\r\n"), std::string("\x04\0\0\0\xff\xff\xff\xff", 8),
        std::string("\x01\0\x01\0", 4)}) {
    FrameStream stream = Connect();
    (void)Send(stream, bytes);
    EXPECT_TRUE(IsClosed(stream, 3));
  }
}

TEST_F(Hostile, SilentAndHalfOpenAreClosedInTime) {
  FrameStream silent = Connect();
  FrameStream half = Connect();
  ASSERT_TRUE(Ask(half, HelloOf("bob@a1.test")));
  ASSERT_TRUE(Send(half, std::string("\x10\0\0\0half", 8)));
  FrameStream idle = Connect();
  ASSERT_TRUE(Ask(idle, HelloOf("bob@a1.test")));
  EXPECT_TRUE(IsClosed(silent));
  EXPECT_TRUE(IsClosed(half));
  EXPECT_TRUE(*idle.Receive()) << "a session may be idle for hours";
}

TEST_F(Hostile, ReaderThatDoesNotReadIsClosed) {
  FrameStream stream = Connect();
  wire::Request request;
  request.set_id(1);
  request.mutable_admin()->mutable_usage();
  const std::string message = request.SerializeAsString();
  std::string frames;
  for (int i = 0; i < 200; ++i) {
    frames += std::string({static_cast<char>(message.size()), 0, 0, 0}) + message;
  }
  bool open = true;
  for (int i = 0; i < 200 && open; ++i) {
    open = Send(stream, frames);
  }
  EXPECT_FALSE(open);
}

TEST_F(Hostile, FloodsDoNotStarveOthers) {
  std::vector<pid_t> floods;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      (void)!nice(10);
      FrameStream stream = Connect();
      wire::Request request = HelloOf("flood@a2.test");
      for (uint64_t n = 1;; ++n) {
        request.set_id(n);
        if (!stream.Queue(request.SerializeAsString()).ok() || !stream.Flush().ok()) {
          stream = Connect();
        }
        (void)stream.Receive();
        while (stream.ready() && stream.Next().ok()) {
        }
      }
    }
    floods.push_back(child);
  }
  auto client = process_.Client("ann@a1.test");
  EXPECT_TRUE(Eventually([&] { return client->Figures().trust == Trust::kLive; }));
  std::vector<std::chrono::steady_clock::duration> took;
  for (uint64_t i = 1; i <= 100; ++i) {
    const auto start = std::chrono::steady_clock::now();
    client->Report(Amount(i, i), {});
    ASSERT_TRUE(Eventually([&] { return client->Figures().figures.mail == i; }));
    took.push_back(std::chrono::steady_clock::now() - start);
  }
  std::sort(took.begin(), took.end());
  for (const pid_t child : floods) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  EXPECT_LT(took[50], std::chrono::milliseconds(50)) << "half of the calls; the machine is full";
  client->Report(Amount(300, 300), {});
  client->Close();
  // The other test's amount comes from another counter.
  auto again = process_.Client("ann@a1.test");
  again->Report(Amount(4242, 400), {});
  EXPECT_TRUE(Eventually([&] { return again->Figures().figures.mail == 4242; }));
  again->Close();
}

TEST_F(Hostile, PagesAreReadOnly) {
  FrameStream stream = Connect();
  const auto reply = Ask(stream, HelloOf("bob@a1.test"));
  ASSERT_TRUE(reply && reply->has_welcome());
  for (int i = 0; i < 2; ++i) {
    const Descriptor page = stream.TakeDescriptor();
    ASSERT_TRUE(page.valid());
    EXPECT_EQ(mmap(nullptr, kAccountPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, page.get(), 0),
              MAP_FAILED);
    void* const map = mmap(nullptr, kAccountPageSize, PROT_READ, MAP_SHARED, page.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
    EXPECT_NE(mprotect(map, kAccountPageSize, PROT_READ | PROT_WRITE), 0);
    munmap(map, kAccountPageSize);
    EXPECT_LT(pwrite(page.get(), "x", 1, 0), 0);
    EXPECT_NE(ftruncate(page.get(), 0), 0);
    EXPECT_NE(ftruncate(page.get(), 8192), 0);
    EXPECT_NE(fallocate(page.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    EXPECT_NE(fcntl(page.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
    const std::string path = "/proc/self/fd/" + std::to_string(page.get());
    const Descriptor reopened(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (reopened.valid()) {
      EXPECT_LT(pwrite(reopened.get(), "x", 1, 0), 0);
      EXPECT_EQ(mmap(nullptr, kAccountPageSize, PROT_WRITE, MAP_SHARED, reopened.get(), 0),
                MAP_FAILED);
    }
  }
}

TEST_F(Hostile, WrongUidsSeeAndChangeNothing) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "takes other uids' parts: needs root";
  }
  EXPECT_EQ(As(kCustomerUid + 1,
               [&] {
                 FrameStream stream = Connect();
                 for (const char* user : {"ann@a1.test", "ann@own.test", "who@nowhere.test"}) {
                   const auto reply = Ask(stream, HelloOf(user));
                   if (!reply || reply->error().kind() != wire::Error::REFUSED ||
                       stream.TakeDescriptor().valid()) {
                     return 1;
                   }
                 }
                 wire::Request admin;
                 admin.mutable_admin()->mutable_usage();
                 const auto usage = Ask(stream, admin);
                 wire::Request meter;
                 meter.mutable_web_meter();
                 const auto refused = Ask(stream, meter);
                 return usage && usage->error().kind() == wire::Error::REFUSED && refused &&
                                refused->error().kind() == wire::Error::REFUSED
                            ? 0
                            : 2;
               }),
            0);
  EXPECT_EQ(As(kCustomerUid,
               [&] {
                 FrameStream stream = Connect();
                 const auto own = Ask(stream, HelloOf("ann@own.test"));
                 return own && own->welcome().account() == "own" ? 0 : 1;
               }),
            0);
}

TEST_F(Hostile, SpoolOfAWrongUidIsThrownAway) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "takes other uids' parts: needs root";
  }
  const std::string spool = process_.state() + "/spool";
  EXPECT_EQ(As(kCustomerUid,
               [&] {
                 wire::Spooled spooled;
                 spooled.mutable_hello()->set_user("bob@a2.test");
                 spooled.mutable_report()->mutable_usage()->set_bytes(666);
                 spooled.mutable_report()->mutable_version()->set_instance(std::string(16, 'x'));
                 spooled.mutable_report()->mutable_version()->set_counter(1);
                 if (!WriteSpool(spool, spooled).ok()) {
                   return 1;
                 }
                 // Nor can it look at what others left.
                 return ListSpool(spool, 10, 0).ok() ? 2 : 0;
               }),
            0);
  const Descriptor garbage(open((spool + "/garbage").c_str(), O_CREAT | O_WRONLY, 0644));
  ASSERT_EQ(symlink("/etc/passwd", (spool + "/link").c_str()), 0);
  ASSERT_EQ(mkdir((spool + "/folder").c_str(), 0755), 0);
  ASSERT_EQ(mkfifo((spool + "/pipe").c_str(), 0644), 0);
  EXPECT_TRUE(Eventually([&] { return ListSpool(spool, 10, 0)->empty(); }));
  auto client = process_.Client("eve@a2.test");
  EXPECT_EQ(client->Figures().figures.mail, 0U);
  client->Close();
}

TEST_F(Hostile, OneUidHasSoManyConnections) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "takes other uids' parts: needs root";
  }
  EXPECT_EQ(As(kCustomerUid,
               [&] {
                 std::vector<FrameStream> streams;
                 for (int i = 0; i < 64; ++i) {
                   streams.push_back(Connect());
                   const auto reply = Ask(streams.back(), HelloOf("ann@own.test"));
                   if (!reply || !reply->has_welcome()) {
                     return 1;
                   }
                 }
                 FrameStream more = Connect();
                 return IsClosed(more, 3) ? 0 : 2;
               }),
            0);
}

}  // namespace
}  // namespace hosting

// The web meter and the usage service together: figures of web roots on their way into an account's
// totals, and what becomes of them while a root cannot be counted.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "quota/usage_server.h"
#include "quota/web_meter.h"
#include "tests/quota/usage_policy.h"
#include "tests/quota/web_tree.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr int64_t kInterval = 600;  // seconds, of package gold

class WebUsage : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"one", "two", "state"}) {
      tree_.Folder(name);
    }
    tree_.File("one/file", 50'000);
    tree_.File("two/file", 70'000);
    Policy policy = TestPolicy();
    policy.service.web_uids = policy.service.admin_uids = {geteuid()};
    for (Account& account : policy.accounts) {
      if (account.name == "web") {
        account.web_roots = {tree_ / "one", tree_ / "two"};
      }
    }
    policy_ = Loaded(std::move(policy));

    UsageServer::Options options;
    options.state_folder = tree_ / "state";
    options.policy = [this](bool always, std::string*) { return always ? policy_ : nullptr; };
    options.clock = {[this] { return now_; }, [this] { return boot_ms_; }};
    options.boot_id = "boot";
    options.log = [this](LogLevel level, const std::string& line) {
      if (level == LogLevel::kError) {
        errors_.push_back(line);
      }
    };
    auto server = UsageServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
    Listen();

    WebMeterOptions meter;
    meter.socket_path = tree_ / "socket";
    meter.policy = [this] {
      return std::shared_ptr<const Policy>(policy_, &policy_->snapshot.policy);
    };
    meter.log = [](bool, const std::string&) {};
    meter.entries_a_second = 0;
    meter_ = std::make_unique<WebMeter>(std::move(meter));
    admin_ = std::make_unique<FrameStream>(std::move(*ConnectUnix(tree_ / "socket")), false);
  }

  void Listen() {
    Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    (tree_ / "socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(listener.get(), 10), 0);
    ASSERT_TRUE(server_->Listen(std::move(listener)).ok());
  }

  // Both do what there is to do at this time.
  void Run() {
    for (int i = 0; i < 60; ++i) {
      boot_ms_ += 10;
      server_->Poll();
      if (i % 20 == 0) {
        server_->Tick();
      }
      meter_->Poll({WalkTime(std::chrono::seconds(now_)), now_});
    }
  }

  void Pass(int64_t seconds) {
    now_ += seconds;
    boot_ms_ += seconds * 1000;
    Run();
  }

  wire::AccountUsage Usage() {
    wire::Request request;
    request.set_id(++last_id_);
    request.mutable_admin()->mutable_usage()->set_account("web");
    EXPECT_TRUE(admin_->Queue(request.SerializeAsString()).ok());
    EXPECT_TRUE(admin_->Flush().ok());
    Run();
    EXPECT_TRUE(admin_->Receive().ok());
    const auto message = admin_->Next();
    wire::Reply reply;
    if (!message.ok() || !*message || !reply.ParseFromString(std::string(**message)) ||
        reply.admin().accounts_size() != 1) {
      ADD_FAILURE() << "no answer: " << reply.error().text();
      return {};
    }
    return reply.admin().accounts(0);
  }

  wire::SourceUsage Source(const std::string& name) {
    const wire::AccountUsage usage = Usage();
    for (const auto& source : usage.sources()) {
      if (source.name() == name) {
        return source;
      }
    }
    ADD_FAILURE() << "no source " << name;
    return {};
  }

  Tree tree_;
  std::shared_ptr<const LoadedPolicy> policy_;
  int64_t now_ = 1'800'000'000;
  int64_t boot_ms_ = 1'000'000;
  std::vector<std::string> errors_;
  std::unique_ptr<UsageServer> server_;
  std::unique_ptr<WebMeter> meter_;
  std::unique_ptr<FrameStream> admin_;
  uint64_t last_id_ = 0;
};

TEST_F(WebUsage, FiguresFollowTheTreeOnceAnInterval) {
  Run();
  const uint64_t both = DiskUsage(tree_ / "one") + DiskUsage(tree_ / "two");
  EXPECT_EQ(Usage().web(), both);
  tree_.File("one/more", 30'000);
  Pass(kInterval / 2);
  EXPECT_EQ(Usage().web(), both);
  Pass(kInterval / 2 + 1);
  EXPECT_EQ(Usage().web(), DiskUsage(tree_ / "one") + DiskUsage(tree_ / "two"));
  EXPECT_GT(Usage().web(), both);
  EXPECT_TRUE(errors_.empty()) << errors_[0];
}

TEST_F(WebUsage, APartialWalkKeepsTheLastCompleteFigureAndAlarmsAfterThree) {
  Run();
  const std::string root = tree_ / "two";
  const uint64_t before = Usage().web();
  const int64_t counted = Source(root).at();
  EXPECT_EQ(counted, now_);
  ASSERT_EQ(rename(root.c_str(), (tree_ / "away").c_str()), 0);
  for (int walks = 1; walks <= 4; ++walks) {
    Pass(kInterval + 1);
    const wire::SourceUsage source = Source(root);
    EXPECT_EQ(source.usage().bytes(), DiskUsage(tree_ / "away"));
    EXPECT_EQ(source.at(), counted) << "its age is that of the figure";
    EXPECT_EQ(source.problem(), root + ": No such file or directory");
    EXPECT_EQ(source.stale(), walks >= 2);
    EXPECT_EQ(Usage().web(), before);
    EXPECT_EQ(errors_.size(), walks < 3 ? 0U : static_cast<size_t>(walks - 2));
    EXPECT_EQ(Source(tree_ / "one").problem(), "");
    EXPECT_EQ(Source(tree_ / "one").at(), now_);
  }
  EXPECT_NE(errors_.at(0).find("3 walks since the last complete one: " + root), std::string::npos)
      << errors_[0];
  // Back, and larger: the figure is of now, and nothing is said any more.
  ASSERT_EQ(rename((tree_ / "away").c_str(), root.c_str()), 0);
  tree_.File("two/more", 30'000);
  errors_.clear();
  Pass(kInterval + 1);
  EXPECT_EQ(Source(root).usage().bytes(), DiskUsage(root));
  EXPECT_EQ(Source(root).problem(), "");
  EXPECT_EQ(Source(root).at(), now_);
  EXPECT_FALSE(Source(root).stale());
  EXPECT_TRUE(errors_.empty());
}

}  // namespace
}  // namespace hosting

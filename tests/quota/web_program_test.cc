// The program hosting-webmeter beside a service that the test plays, and what it is made of: its
// command line and the policy that it reads.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "quota/policy_snapshot.h"
#include "quota/web_options.h"
#include "quota/web_policy.h"
#include "tests/quota/web_service.h"
#include "tests/quota/web_tree.h"

namespace hosting {
namespace {

constexpr uint32_t kCustomer = 6001;
constexpr uint32_t kMeter = 6002;
constexpr int kWait = 20'000;  // ms for what takes a moment

PolicySnapshot SnapshotOf(const std::string& account, const std::vector<std::string>& roots) {
  PolicySnapshot snapshot;
  snapshot.policy.accounts.resize(1);
  snapshot.policy.accounts[0].name = account;
  snapshot.policy.accounts[0].web_roots = roots;
  return snapshot;
}

TEST(WebPolicy, FollowsTheSnapshotAndKeepsTheLastGoodOne) {
  Tree tree;
  const std::string path = tree / "policy.snapshot";
  std::vector<std::string> log;
  WebPolicy policy(path, [&](const std::string& line) { log.push_back(line); });
  EXPECT_EQ(policy.Get(), nullptr);
  EXPECT_EQ(policy.Get(), nullptr);
  ASSERT_EQ(log.size(), 1U) << "a line is enough";
  EXPECT_NE(log[0].find(path), std::string::npos);

  ASSERT_TRUE(WriteSnapshot(path, SnapshotOf("a.example", {"/srv/a"})).ok());
  const auto first = policy.Get();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->accounts.at(0).web_roots.at(0), "/srv/a");
  EXPECT_EQ(policy.Get(), first) << "nothing changed";

  ASSERT_TRUE(WriteSnapshot(path, SnapshotOf("b.example", {"/srv/b"})).ok());
  const auto second = policy.Get();
  EXPECT_EQ(second->accounts.at(0).name, "b.example");
  EXPECT_EQ(first->accounts.at(0).name, "a.example");

  std::ofstream(path + ".bad") << "no snapshot";
  ASSERT_EQ(rename((path + ".bad").c_str(), path.c_str()), 0);
  EXPECT_EQ(policy.Get(), second);
  EXPECT_EQ(policy.Get(), second);
  ASSERT_EQ(log.size(), 2U);
  EXPECT_NE(log[1].find("the last good policy stays in use"), std::string::npos) << log[1];
  ASSERT_EQ(unlink(path.c_str()), 0);
  EXPECT_EQ(policy.Get(), second);
  ASSERT_TRUE(WriteSnapshot(path, SnapshotOf("c.example", {})).ok());
  EXPECT_EQ(policy.Get()->accounts.at(0).name, "c.example");
}

TEST(WebOptions, Reads) {
  const auto options = ParseWebOptions({"--user", "6002", "--rate=5", "--socket", "/s",
                                        "--snapshot=/p=q", "--max-depth", "7", "--max-entries", "8",
                                        "--max-links", "9", "--max-seconds=10"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->uid, 6002U);
  EXPECT_EQ(options->gid, 6002U);
  EXPECT_EQ(options->entries_a_second, 5U);
  EXPECT_EQ(options->socket, "/s");
  EXPECT_EQ(options->snapshot, "/p=q");
  EXPECT_EQ(options->bounds.depth, 7U);
  EXPECT_EQ(options->bounds.entries, 8U);
  EXPECT_EQ(options->bounds.links, 9U);
  EXPECT_EQ(options->bounds.time.count(), 10);
  EXPECT_EQ(ParseWebOptions({"--user", "nobody"})->uid, 65534U);
}

TEST(WebOptions, RefusesWhatItDoesNotUnderstand) {
  const struct {
    std::vector<std::string> arguments;
    const char* problem;
  } cases[] = {
      {{}, "expected --user NAME: the meter does not run as root"},
      {{"--user"}, "--user: expected a value behind it"},
      {{"--user", "root"}, "--user root: expected a user other than root"},
      {{"--user=0"}, "--user 0: expected a user other than root"},
      {{"--user", "no such user"}, "--user no such user: expected a user of this system"},
      {{"--rate", "5x"}, "--rate 5x: expected a number from 0 to 10000000"},
      {{"--rate", "-1"}, "--rate -1: expected a number from 0 to 10000000"},
      {{"--rate="}, "--rate : expected a number from 0 to 10000000"},
      {{"--max-seconds", "99999"}, "--max-seconds 99999: expected a number from 1 to 10800"},
      {{"--socket="}, "--socket : expected a path"},
      {{"/srv/www", "x"},
       "/srv/www: expected --user, --socket, --snapshot, --rate, --max-depth, "
       "--max-entries, --max-links or --max-seconds"},
  };
  for (const auto& c : cases) {
    const auto options = ParseWebOptions(c.arguments);
    ASSERT_FALSE(options.ok()) << c.problem;
    EXPECT_EQ(options.status().message(), c.problem);
  }
}

// The program, from its start to its end.
class Meter {
 public:
  // Started as root, as another user, or as the meter's with the capability it needs (as systemd
  // does it).
  enum class As { kRoot, kOther, kAmbient };
  Meter(const Tree& tree, As start_as, const std::vector<std::string>& arguments)
      : log_(tree / "meter.log") {
    pid_ = fork();
    if (pid_ == 0) {
      const int log = open(log_.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0666);
      dup2(log, 2);
      const std::string uid = "--reuid=" + std::to_string(kMeter);
      const std::string gid = "--regid=" + std::to_string(kMeter);
      std::vector<const char*> argv;
      if (start_as != As::kRoot) {
        argv = {"/usr/bin/setpriv", uid.c_str(), gid.c_str(), "--clear-groups"};
      }
      if (start_as == As::kAmbient) {
        argv.insert(argv.end(),
                    {"--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
                     "--bounding-set=-all,+dac_read_search"});
      }
      argv.push_back(kProgram);
      for (const std::string& argument : arguments) {
        argv.push_back(argument.c_str());
      }
      argv.push_back(nullptr);
      execv(argv[0], const_cast<char**>(argv.data()));
      _exit(99);
    }
  }
  ~Meter() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
  }
  // The exit status, once it has ended.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return status;
  }
  void Signal(int signal) const { ASSERT_EQ(kill(pid_, signal), 0); }
  std::string Status(const std::string& name) const {
    return Output("sed -n 's/^" + name + ":[[:space:]]*//p' /proc/" + std::to_string(pid_) +
                  "/status | tr '\t\n' '  ' | sed 's/ *$//'");
  }
  std::string Nice() const { return Output("ps -o ni= -p " + std::to_string(pid_)); }
  std::string log() const { return Output("cat " + log_); }

  static constexpr const char* kProgram = LBOX_PROGRAMS "/hosting-webmeter";

 private:
  const std::string log_;
  pid_t pid_ = -1;
};

class WebProgram : public testing::Test {
 protected:
  void SetUp() override {
    if (access(Meter::kProgram, X_OK) != 0) {
      GTEST_SKIP() << "built without Dovecot";
    }
    if (!IsRoot()) {
      GTEST_SKIP() << "other uids need root";
    }
    service_.emplace(tree_ / "socket");
    ASSERT_EQ(chmod((tree_ / "socket").c_str(), 0666), 0);
    // A customer's own: nobody else may even look into it.
    for (const char* name : {"root", "root/closed"}) {
      tree_.Folder(name);
      tree_.File(std::string(name) + "/file", 30'000);
      ASSERT_EQ(chmod((tree_ / name).c_str(), 0700), 0);
    }
    Output("chown -R " + std::to_string(kCustomer) + " " + tree_ / "root");
    Use({tree_ / "root"});
  }
  void Use(const std::vector<std::string>& roots) {
    PolicySnapshot snapshot = SnapshotOf("a.example", roots);
    snapshot.policy.accounts[0].uid = kCustomer;
    ASSERT_TRUE(WriteSnapshot(tree_ / "policy.snapshot", snapshot).ok());
    ASSERT_EQ(chmod((tree_ / "policy.snapshot").c_str(), 0600), 0);
  }
  std::vector<std::string> Arguments() const {
    return {"--user",         std::to_string(kMeter), "--socket",
            tree_ / "socket", "--snapshot",           tree_ / "policy.snapshot"};
  }
  void Greet() {
    ASSERT_TRUE(service_->Accept(kWait));
    const auto hello = service_->Next(kWait);
    ASSERT_TRUE(hello && hello->has_web_meter());
    service_->Answer(hello->id());
  }
  wire::Measured Measure() {
    service_->Ask("a.example");
    const auto figure = service_->Next(kWait);
    EXPECT_TRUE(figure && figure->has_measured());
    service_->Answer(figure ? figure->id() : 0);
    return figure ? figure->measured() : wire::Measured();
  }

  Tree tree_;
  std::optional<Service> service_;
};

class WebProgramStarted : public WebProgram, public testing::WithParamInterface<Meter::As> {};

TEST_P(WebProgramStarted, ReadsWhatNobodyElseMayAndCanDoNothingElse) {
  Meter meter(tree_, GetParam(), Arguments());
  Greet();
  const std::string uid = std::to_string(kMeter);
  const struct {
    std::string name, value;
  } lines[] = {
      {"Uid", uid + " " + uid + " " + uid + " " + uid},
      {"Gid", uid + " " + uid + " " + uid + " " + uid},
      {"Groups", ""},
      {"NoNewPrivs", "1"},
      {"CapEff", "0000000000000004"},
      {"CapPrm", "0000000000000004"},
      {"CapBnd", "0000000000000004"},
      {"CapInh", "0000000000000000"},
      {"CapAmb", "0000000000000000"},
  };
  for (const auto& line : lines) {
    EXPECT_EQ(meter.Status(line.name), line.value) << line.name;
  }
  EXPECT_EQ(std::stoi(meter.Nice()), 19);
  struct ucred peer = {};
  socklen_t size = sizeof(peer);
  ASSERT_EQ(getsockopt(service_->fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
  EXPECT_EQ(peer.uid, kMeter);

  const wire::Measured measured = Measure();
  EXPECT_EQ(measured.source(), tree_ / "root");
  EXPECT_FALSE(measured.partial()) << measured.problem();
  EXPECT_EQ(measured.usage().bytes(), DiskUsage(tree_ / "root"));
  EXPECT_GE(measured.usage().bytes(), 60'000U);

  meter.Signal(SIGTERM);
  const int status = meter.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

INSTANTIATE_TEST_SUITE_P(By, WebProgramStarted,
                         testing::Values(Meter::As::kRoot, Meter::As::kAmbient),
                         [](const auto& by) {
                           return by.param == Meter::As::kRoot ? "Root" : "Systemd";
                         });

TEST_F(WebProgram, GoesOnAfterTheServiceAndWithAnotherPolicy) {
  Meter meter(tree_, Meter::As::kRoot, Arguments());
  Greet();
  EXPECT_FALSE(Measure().partial());
  service_->Close();
  Greet();  // within a few seconds
  Use({tree_ / "gone"});
  const wire::Measured measured = Measure();
  EXPECT_EQ(measured.source(), tree_ / "gone");
  EXPECT_TRUE(measured.partial());
  const std::string log = meter.log();
  EXPECT_NE(log.find("no connection to hosting-usage: the service closed it; trying again"),
            std::string::npos)
      << log;
  EXPECT_NE(log.find("connected to hosting-usage again"), std::string::npos) << log;
}

TEST_F(WebProgram, DoesNotRunWithOtherPrivileges) {
  Tree log;
  ASSERT_EQ(chmod(log.path().c_str(), 0777), 0);
  Meter meter(log, Meter::As::kOther, Arguments());
  const int status = meter.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << status;
  EXPECT_NE(meter.log().find("keeping CAP_DAC_READ_SEARCH (start as root"), std::string::npos)
      << meter.log();
}

}  // namespace
}  // namespace hosting

// The web meter beside a service that the test plays: what is asked and answered, outages, pace.
#include "quota/web_meter.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/quota/web_service.h"
#include "tests/quota/web_tree.h"

namespace hosting {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WebMeterTest : public testing::Test {
 protected:
  WebMeterTest() : service_(std::in_place, socket()) {
    policy_ = std::make_shared<Policy>();
    policy_->accounts.resize(2);
    policy_->accounts[0].name = "a.example";
    policy_->accounts[0].web_roots = {tree_ / "one", tree_ / "two"};
    policy_->accounts[1].name = "b.example";
    policy_->accounts[1].web_roots = {tree_ / "missing"};
    for (const char* root : {"one", "two"}) {
      tree_.Folder(root);
      tree_.File(std::string(root) + "/file", 20'000);
    }
    options_.socket_path = socket();
    options_.policy = [this] { return policy_; };
    options_.log = [this](bool, const std::string& line) { log_.push_back(line); };
    options_.entries_a_second = 0;
  }

  std::string socket() const { return tree_ / "socket"; }
  WebMeter& meter() {
    if (!meter_) {
      meter_ = std::make_unique<WebMeter>(options_);
    }
    return *meter_;
  }
  milliseconds Poll() {
    WebMeter& meter_now = meter();
    return meter_now.Poll(
        {now_, kStart + std::chrono::duration_cast<seconds>(now_.time_since_epoch()).count()});
  }
  void Pass(milliseconds time) { now_ += time; }
  // Lets the meter go on until it has nothing to do at this moment.
  void Run() {
    for (int i = 0; i < 10'000 && (Poll() == milliseconds(0) || Readable()); ++i) {
    }
  }
  bool Readable() {
    struct pollfd descriptor = {meter().fd(), POLLIN, 0};
    return poll(&descriptor, 1, 0) == 1;
  }
  // Connects, and is accepted.
  void Start() {
    Run();
    ASSERT_TRUE(service_->Accept());
    const auto hello = service_->Next();
    ASSERT_TRUE(hello && hello->has_web_meter());
    service_->Answer(hello->id());
    Run();
    ASSERT_TRUE(meter().connected());
  }
  // The figures that have come and were not answered.
  std::vector<wire::Request> Figures() {
    std::vector<wire::Request> figures;
    while (auto request = service_->Next()) {
      EXPECT_TRUE(request->has_measured());
      figures.push_back(*request);
    }
    return figures;
  }

  static constexpr int64_t kStart = 1'800'000'000;
  Tree tree_;
  std::optional<Service> service_;
  std::shared_ptr<Policy> policy_;
  WebMeterOptions options_;
  std::vector<std::string> log_;
  WalkTime now_{};
  std::unique_ptr<WebMeter> meter_;
};

TEST_F(WebMeterTest, SendsAFigureForEachRootOfTheAccountItIsAskedFor) {
  Start();
  EXPECT_TRUE(Figures().empty());
  Pass(seconds(100));
  service_->Ask("a.example");
  Run();
  const auto figures = Figures();
  ASSERT_EQ(figures.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const wire::Measured& measured = figures[i].measured();
    const std::string& root = policy_->accounts[0].web_roots[i];
    EXPECT_EQ(measured.account(), "a.example");
    EXPECT_EQ(measured.source(), root);
    EXPECT_EQ(measured.usage().bytes(), DiskUsage(root));
    EXPECT_EQ(measured.usage().disk(), DiskUsage(root));
    EXPECT_EQ(measured.usage().messages(), 0U);
    EXPECT_EQ(measured.at(), kStart + 100);
    EXPECT_FALSE(measured.partial());
    EXPECT_EQ(measured.problem(), "");
    service_->Answer(figures[i].id());
  }
  Run();
  EXPECT_FALSE(meter().walking());
  EXPECT_TRUE(log_.empty());
  // Again, when it is asked again.
  tree_.File("one/more", 50'000);
  service_->Ask("a.example");
  Run();
  const auto again = Figures();
  ASSERT_EQ(again.size(), 2U);
  EXPECT_GE(again[0].measured().usage().bytes(), 70'000U);
}

TEST_F(WebMeterTest, SaysWhatCouldNotBeRead) {
  Start();
  service_->Ask("b.example");
  Run();
  const auto figures = Figures();
  ASSERT_EQ(figures.size(), 1U);
  EXPECT_TRUE(figures[0].measured().partial());
  EXPECT_EQ(figures[0].measured().problem(), tree_ / "missing: No such file or directory");
}

TEST_F(WebMeterTest, OneAccountAfterTheOtherAndEachOnce) {
  for (int i = 0; i < 10; ++i) {
    tree_.File("one/" + std::to_string(i), 1);
  }
  options_.entries_a_second = 100;  // two at a time
  Start();
  service_->Ask("b.example");
  service_->Ask("a.example");
  service_->Ask("b.example");
  service_->Ask("a.example");
  Run();
  service_->Ask("a.example");  // in the middle
  std::vector<std::string> order;
  for (int i = 0; i < 100; ++i) {
    Run();
    for (const auto& figure : Figures()) {
      order.push_back(figure.measured().source());
      service_->Answer(figure.id());
    }
    Pass(milliseconds(20));
  }
  EXPECT_EQ(order, (std::vector<std::string>{tree_ / "missing", tree_ / "one", tree_ / "two"}));
}

TEST_F(WebMeterTest, KeepsToItsRate) {
  for (int i = 0; i < 500; ++i) {
    tree_.File("one/" + std::to_string(i), 0);
  }
  options_.entries_a_second = 1000;
  Start();
  service_->Ask("a.example");
  const WalkTime begin = now_;
  Run();
  size_t figures = 0;
  while (figures == 0 && now_ - begin < seconds(10)) {
    const milliseconds pause = Poll();
    EXPECT_LE(pause, milliseconds(21));
    EXPECT_GT(pause, milliseconds(0));
    figures = Figures().size();
    Pass(pause);
  }
  EXPECT_EQ(figures, 1U);
  // 501 entries of the first root.
  EXPECT_GE(now_ - begin, milliseconds(480));
  EXPECT_LE(now_ - begin, milliseconds(560));
}

TEST_F(WebMeterTest, FiguresOutliveAnOutageAndAreSentAgain) {
  Start();
  service_->Ask("a.example");
  Run();
  ASSERT_EQ(Figures().size(), 2U);  // not answered
  service_->Close();
  service_.reset();
  Run();
  EXPECT_FALSE(meter().connected());
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_EQ(log_[0], "no connection to hosting-usage: the service closed it; trying again");
  for (int i = 0; i < 100; ++i) {
    Pass(seconds(3));
    Run();
  }
  EXPECT_EQ(log_.size(), 1U) << "a line an outage";
  service_.emplace(socket());
  Pass(seconds(60));
  Start();
  ASSERT_EQ(log_.size(), 2U);
  EXPECT_EQ(log_[1], "connected to hosting-usage again");
  auto figures = Figures();
  ASSERT_EQ(figures.size(), 2U);
  service_->Answer(figures[0].id());
  Run();
  // Once more: what was answered is not sent again.
  service_->Close();
  Run();
  Pass(seconds(60));
  Start();
  figures = Figures();
  ASSERT_EQ(figures.size(), 1U);
  EXPECT_EQ(figures[0].measured().source(), tree_ / "two");
}

TEST_F(WebMeterTest, AWalkGoesOnDuringAnOutage) {
  options_.entries_a_second = 50;
  Start();
  service_->Ask("a.example");
  Run();
  EXPECT_TRUE(meter().walking());
  service_->Close();
  for (int i = 0; i < 10; ++i) {
    Run();
    Pass(milliseconds(50));
  }
  EXPECT_FALSE(meter().walking());
  Pass(seconds(60));
  Start();
  EXPECT_EQ(Figures().size(), 2U);
}

TEST_F(WebMeterTest, TriesAgainAfterAGrowingPause) {
  service_.reset();
  std::vector<int64_t> pauses;
  for (int i = 0; i < 9; ++i) {
    const milliseconds pause = Poll();
    pauses.push_back(pause.count());
    Pass(pause);
  }
  EXPECT_EQ(pauses,
            (std::vector<int64_t>{1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000}));
}

TEST_F(WebMeterTest, AServiceThatRefusesIsLeftAlone) {
  Run();
  ASSERT_TRUE(service_->Accept());
  wire::Reply reply;
  reply.set_id(service_->Next()->id());
  reply.mutable_error()->set_kind(wire::Error::REFUSED);
  reply.mutable_error()->set_text("uid 65534 may not\n");
  service_->Say(reply.SerializeAsString());
  Run();
  EXPECT_TRUE(service_->MeterHasGone());
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_NE(log_[0].find("the service refused the web meter: uid 65534 may not\\x0a"),
            std::string::npos)
      << log_[0];
}

// Names that are not in the policy, paths above all, are not served.
TEST_F(WebMeterTest, TakesNamesOfAccountsOnly) {
  policy_->accounts.push_back({});
  policy_->accounts.back().name = "c.example";  // without roots
  for (const std::string& name : {tree_ / "one", std::string("/"), std::string(""),
                                  std::string("A.example"), std::string("c.example")}) {
    Start();
    service_->Ask(name);
    Run();
    EXPECT_TRUE(service_->MeterHasGone()) << name;
    EXPECT_FALSE(meter().walking());
    Pass(seconds(60));
  }
  // Nor without a policy.
  policy_.reset();
  Start();
  service_->Ask("a.example");
  Run();
  EXPECT_TRUE(service_->MeterHasGone());
}

TEST_F(WebMeterTest, NonsenseClosesTheConnection) {
  const auto unasked = [] {
    wire::Reply reply;
    reply.set_id(77);
    return reply.SerializeAsString();
  };
  for (const std::string& bytes : {std::string("\xff\xff\xff"), unasked()}) {
    Start();
    service_->Say(bytes);
    Run();
    EXPECT_TRUE(service_->MeterHasGone());
    Pass(seconds(60));
  }
  // A length that no frame has.
  Start();
  ASSERT_EQ(send(service_->fd(), "\xff\xff\xff\xff", 4, 0), 4);
  Run();
  EXPECT_TRUE(service_->MeterHasGone());
  Pass(seconds(60));
  // More accounts than can wait.
  Start();
  for (int i = 0; i < 100; ++i) {
    service_->Ask("account" + std::to_string(i));
  }
  Run();
  EXPECT_TRUE(service_->MeterHasGone());
}

TEST_F(WebMeterTest, AnotherPolicyIsInEffectWithTheNextAccount) {
  Start();
  service_->Ask("b.example");
  Run();
  service_->Answer(Figures().at(0).id());
  auto changed = std::make_shared<Policy>(*policy_);
  changed->accounts[1].web_roots = {tree_ / "two"};  // as a.example's
  policy_ = changed;
  service_->Ask("b.example");
  Run();
  const auto figures = Figures();
  ASSERT_EQ(figures.size(), 1U);
  EXPECT_EQ(figures[0].measured().problem(),
            tree_ / "two: is the web root " + tree_ / "two of account a.example as well");
}

TEST_F(WebMeterTest, FoldersMailUidsAndOwnerComeFromThePolicy) {
  tree_.Folder("one/mail");
  tree_.File("one/mail/large", 200'000);
  tree_.Folder("two/tmp");
  tree_.File("two/tmp/large", 200'000);
  for (const char* name : {"two/store", "two/store/cur", "two/store/new", "two/store/tmp"}) {
    tree_.Folder(name);
  }
  policy_->service.web_exclude = {"tmp"};
  policy_->service.mail_uids = {geteuid()};
  policy_->accounts[0].web_exclude = {tree_ / "one/mail"};
  Start();
  const auto measure = [&] {
    service_->Ask("a.example");
    Run();
    std::vector<wire::Measured> measured;
    for (const auto& figure : Figures()) {
      measured.push_back(figure.measured());
      service_->Answer(figure.id());
    }
    return measured;
  };
  auto measured = measure();
  ASSERT_EQ(measured.size(), 2U);
  EXPECT_LT(measured[0].usage().bytes(), 100'000U);
  EXPECT_LT(measured[1].usage().bytes(), 100'000U);
  const uint64_t without_store = measured[1].usage().bytes();
  // An account that owns its mail itself gains nothing by a folder that looks like mail.
  policy_->accounts[0].uid = geteuid();
  tree_.File("two/store/cur/large", 50'000);
  measured = measure();
  EXPECT_GE(measured[1].usage().bytes(), without_store + 50'000);
  policy_->accounts[0].uid = geteuid() + 1;
  measured = measure();
  EXPECT_TRUE(measured[0].partial());
  EXPECT_NE(measured[0].problem().find("belongs to uid"), std::string::npos);
}

}  // namespace
}  // namespace hosting

// Exactness and speed: eight clients that deliver, expunge, die and come back while the service is
// killed over and over end with figures equal to a count from scratch; a thousand reports a second.
// LBOX_USAGE_KILLS: rounds of kills (default 8). LBOX_USAGE_LOAD_SECONDS: of load (default 5); when
// it is set, the machine is to have nothing else to do, and the 99th percentile has to be good.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <list>
#include <random>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "quota/usage_admin.h"
#include "tests/quota/usage_policy.h"
#include "tests/quota/usage_process.h"

namespace hosting {
namespace {

using Clock = std::chrono::steady_clock;

int Setting(const char* name, int otherwise) {
  const char* const value = getenv(name);
  return value == nullptr ? otherwise : atoi(value);
}

// A user's store: what is truly there, shared by all processes; changed as a store is, one
// transaction after the other.
struct Store {
  std::atomic_flag lock = ATOMIC_FLAG_INIT;
  uint64_t bytes, counter;
};
constexpr int kUsers = 6;
struct Stores {
  std::array<Store, kUsers> store;
  std::atomic<bool> stop;
};

MailAmount Change(Store& store, uint64_t random) {
  while (store.lock.test_and_set(std::memory_order_acquire)) {
    std::this_thread::yield();
  }
  store.bytes = random % 3 == 0 ? store.bytes / 2 : store.bytes + random % 10000;
  const MailAmount amount = Amount(store.bytes, ++store.counter);
  store.lock.clear(std::memory_order_release);
  return amount;
}
MailAmount Count(Store& store) {
  while (store.lock.test_and_set(std::memory_order_acquire)) {
    std::this_thread::yield();
  }
  MailAmount amount = Amount(store.bytes, store.counter);
  store.lock.clear(std::memory_order_release);
  amount.recounted = true;
  return amount;
}

std::string User(int i) {
  return "user" + std::to_string(i) + "@a" + std::to_string(i % 2) + ".test";
}

// Sessions one after the other; each does some work and ends, or is killed in the middle of it.
void BeAClient(const UsageProcess& process, Stores& stores, uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!stores.stop) {
    const pid_t session = fork();
    if (session == 0) {
      const int user = static_cast<int>(random() % kUsers);
      auto client = process.Client(User(user), "lmtp");
      const auto work = random() % 30;
      const bool dies = random() % 4 == 0;
      for (uint64_t i = 0; i < work; ++i) {
        (void)client->Figures();
        (void)client->BeforeChange();
        const MailAmount amount = Change(stores.store[user], random());
        if (dies && i + 1 == work) {
          _exit(1);  // between commit and report
        }
        client->Report(amount, {});
        if (random() % 3 == 0) {
          client->Pump();
        }
      }
      client->Close();
      _exit(0);
    }
    random.discard(7);
    waitpid(session, nullptr, 0);
  }
  _exit(0);
}

// hosting-recount: reads users, counts their stores, answers.
class Recounter {
 public:
  Recounter(const UsageProcess& process, std::string path, Stores& stores)
      : process_(process), path_(std::move(path)), stores_(stores) {
    struct sockaddr_un address {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    unlink(path_.c_str());
    listener_ = Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof address),
              0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~Recounter() {
    stop_ = true;
    thread_.join();
  }
  std::atomic<int> counted{0};

 private:
  void Run() {
    Descriptor connection;
    std::string input;
    while (!stop_) {
      if (!connection.valid()) {
        connection =
            Descriptor(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        input.clear();
      }
      char bytes[1000];
      const ssize_t got = connection.valid() ? recv(connection.get(), bytes, sizeof bytes, 0) : -1;
      if (got == 0) {
        connection.Reset();
      } else if (got > 0) {
        input.append(bytes, static_cast<size_t>(got));
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      for (size_t end = 0; (end = input.find('\n')) != std::string::npos;) {
        const std::string user = input.substr(0, input.find_first_of("\t\n"));
        input.erase(0, end + 1);
        const std::string answer = user + "\t" + CountUser(user) + "\n";
        (void)!send(connection.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
  }
  const char* CountUser(const std::string& user) {
    for (int i = 0; i < kUsers; ++i) {
      if (User(i) == user) {
        auto client = process_.Client(user, "hosting-recount");
        const Status connected = client->Connect();
        client->Report(Count(stores_.store[i]), {});
        const bool reported = connected.ok() && Eventually(
                                                    [&] {
                                                      client->Pump();
                                                      return !client->unreported();
                                                    },
                                                    2);
        client->Close();
        ++counted;
        return reported ? "OK" : "TEMPFAIL";
      }
    }
    return "UNKNOWN";
  }

  const UsageProcess& process_;
  std::string path_;
  Stores& stores_;
  Descriptor listener_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

uint64_t MailOf(const UsageProcess& process, const std::string& account) {
  auto admin = UsageAdmin::Connect(process.socket());
  if (!admin.ok()) {
    return UINT64_MAX;
  }
  const auto usage = (*admin)->Account(account);
  return usage.ok() ? usage->mail() : UINT64_MAX;
}

// Service, stores and recounter of one test.
class UsageExact : public ::testing::Test {
 protected:
  UsageExact() {
    EXPECT_NE(memory_, MAP_FAILED);
    process_.recount_socket = process_.folder.file("recount");
  }
  ~UsageExact() override {
    recounter_.reset();
    munmap(memory_, sizeof(Stores));
  }
  void StartRecounter() {  // not before children have been made: it is a thread
    recounter_ = std::make_unique<Recounter>(process_, process_.recount_socket, stores_);
  }
  // What everything here is about.
  bool Right() {
    for (int account = 0; account < 2; ++account) {
      uint64_t truth = 0;
      for (int i = account; i < kUsers; i += 2) {
        truth += stores_.store[i].bytes;
      }
      if (MailOf(process_, "a" + std::to_string(account)) != truth) {
        return false;
      }
    }
    return true;
  }
  // A session that ends as it should, and reports what `tell` makes of the truth.
  template <typename Tell>
  void Session(int user, const Tell& tell) {
    auto client = process_.Client(User(user), "lmtp");
    ASSERT_TRUE(client->BeforeChange().ok());
    tell(*client, Change(stores_.store[user], 1000));
    client->Close();
  }

  void* memory_ =
      mmap(nullptr, sizeof(Stores), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Stores& stores_ = *new (memory_) Stores();
  UsageProcess process_;
  std::unique_ptr<Recounter> recounter_;
};

TEST_F(UsageExact, EqualToACountFromScratchAfterKills) {
  std::vector<pid_t> clients;
  for (uint64_t i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      BeAClient(process_, stores_, i);
    }
    clients.push_back(child);
  }
  StartRecounter();
  std::mt19937_64 random(1);
  const int kills = Setting("LBOX_USAGE_KILLS", 8);
  for (int i = 0; i < kills; ++i) {
    process_.Start();
    std::this_thread::sleep_for(std::chrono::milliseconds(50 + random() % 400));
    process_.Kill();
    // Whole sessions, some of them killed, in which there is no service.
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
  }
  stores_.stop = true;
  for (const pid_t child : clients) {
    waitpid(child, nullptr, 0);
  }
  // The last ones found no service at all: what tells of those that died are their marks.
  process_.Start();
  const bool became_right = Eventually([this] { return Right(); }, 60);
  for (int i = 0; i < kUsers; ++i) {
    printf("user %d: %lu bytes, transaction %lu\n", i, stores_.store[i].bytes,
           stores_.store[i].counter);
  }
  printf("recounts: %d\n", recounter_->counted.load());
  EXPECT_TRUE(became_right) << MailOf(process_, "a0") << " " << MailOf(process_, "a1");
}

// The controls: what is wrong stays wrong, and is seen.
TEST_F(UsageExact, AReportThatIsDroppedIsSeen) {
  process_.Start();
  const auto honest = [](UsageClient& client, const MailAmount& amount) {
    client.Report(amount, {});
  };
  for (int user = 0; user < kUsers; ++user) {
    Session(user, honest);
  }
  ASSERT_TRUE(Eventually([this] { return Right(); }));
  // From here on: first sessions have nobody counted any more.
  StartRecounter();
  Session(0, [](UsageClient&, const MailAmount&) {});
  EXPECT_FALSE(Eventually([this] { return Right(); }, 1));
  Session(0, honest);
  EXPECT_TRUE(Eventually([this] { return Right(); }));
  Session(1, [](UsageClient& client, MailAmount amount) {
    amount.bytes += amount.bytes;
    client.Report(amount, {});
  });
  EXPECT_FALSE(Eventually([this] { return Right(); }, 1)) << "counted twice";
}

// Killed between change and report, without ever having met the service.
TEST_F(UsageExact, ASessionKilledWithinAnOutageIsCounted) {
  process_.Start();
  Session(0, [](UsageClient& client, const MailAmount& amount) { client.Report(amount, {}); });
  ASSERT_TRUE(Eventually([this] { return Right(); }));
  process_.Kill();
  for (const bool marks : {false, true}) {
    const pid_t child = fork();
    if (child == 0) {
      auto client = process_.Client(User(0), "lmtp");
      if (marks) {
        (void)client->BeforeChange();
      }
      (void)Change(stores_.store[0], 1000);
      _exit(1);
    }
    waitpid(child, nullptr, 0);
    if (!marks) {  // the control
      process_.Start();
      StartRecounter();
      EXPECT_FALSE(Eventually([this] { return Right(); }, 4)) << "nothing tells of it";
      recounter_.reset();
      process_.Kill();
    }
  }
  process_.Start();
  StartRecounter();
  EXPECT_TRUE(Eventually([this] { return Right(); }));
}

// 1,000 deliveries a second over 200 accounts, each a session of its own as in LMTP: it says whose
// it is, asks for figures, and reports once the mail is stored; the answer is waited for behind it.
TEST(UsageLoad, ThousandReportsASecond) {
  constexpr int kAccounts = 200;
  constexpr int kThreads = 4;
#ifdef __SANITIZE_ADDRESS__
  constexpr int kRate = 100;  // its slowness is not what is measured here
#else
  constexpr int kRate = 1000;
#endif
  const int seconds = Setting("LBOX_USAGE_LOAD_SECONDS", 5);
  UsageProcess process;
  process.accounts = kAccounts;
  process.call_limit = std::chrono::seconds(5);  // a machine that is busy is no outage
  process.Start();
  std::vector<std::vector<int64_t>> added(kThreads);  // us, to a delivery
  std::vector<std::vector<int64_t>> answered(kThreads);
  std::vector<uint64_t> truth(kAccounts);
  std::vector<std::thread> threads;
  std::atomic<int> late{0};
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
  };
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      constexpr int kMine = kAccounts / kThreads;
      struct Waiting {
        std::unique_ptr<UsageClient> client;
        Clock::time_point reported;
      };
      std::list<Waiting> waiting;
      const auto look = [&](int most_ms) {
        std::vector<struct pollfd> ready;
        for (const Waiting& one : waiting) {
          ready.push_back({one.client->fd(), POLLIN, 0});
        }
        (void)poll(ready.data(), ready.size(), most_ms);
        for (auto at = waiting.begin(); at != waiting.end();) {
          at->client->Pump();
          if (at->client->unreported()) {
            ++at;
            continue;
          }
          answered[t].push_back(since(at->reported));
          at->client->Close();
          at = waiting.erase(at);
        }
      };
      const auto start = Clock::now();
      const int count = seconds * kRate / kThreads;
      for (int n = 0; n < count; ++n) {
        const auto turn = start + std::chrono::microseconds(1000000LL * n * kThreads / kRate);
        while (Clock::now() < turn) {
          const auto left = std::chrono::ceil<std::chrono::milliseconds>(turn - Clock::now());
          if (waiting.empty()) {
            std::this_thread::sleep_until(turn);
          } else {
            look(static_cast<int>(left.count()));
          }
        }
        const int account = t * kMine + n % kMine;
        auto client = process.Client("ann@a" + std::to_string(account) + ".test", "lmtp");
        const auto begin = Clock::now();
        (void)client->BeforeChange();
        const Lookup lookup = client->Figures(Demand{1000, 1});
        client->Report(Amount(truth[account] += 1000, static_cast<uint64_t>(n) + 1), {});
        added[t].push_back(since(begin));
        late += lookup.trust != Trust::kLive ? 1 : 0;
        waiting.push_back({std::move(client), Clock::now()});
      }
      while (!waiting.empty()) {
        look(100);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const auto percentile = [](std::vector<std::vector<int64_t>>& parts, double part) {
    std::vector<int64_t> all;
    for (const auto& some : parts) {
      all.insert(all.end(), some.begin(), some.end());
    }
    std::sort(all.begin(), all.end());
    return all[static_cast<size_t>(part * static_cast<double>(all.size() - 1))];
  };
  printf("added to a delivery: p50 %ld us, p99 %ld us, p99.9 %ld us, max %ld us\n",
         percentile(added, 0.5), percentile(added, 0.99), percentile(added, 0.999),
         percentile(added, 1));
  printf("until the report's answer: p50 %ld us, p99 %ld us\n", percentile(answered, 0.5),
         percentile(answered, 0.99));
  EXPECT_EQ(late, 0);
  constexpr int64_t kMost = 2000;  // us
  EXPECT_LT(percentile(added, 0.5), kMost);
  if (getenv("LBOX_USAGE_LOAD_SECONDS") != nullptr) {
    EXPECT_LT(percentile(added, 0.99), kMost);
  }
  EXPECT_TRUE(Eventually([&] {
    for (int account = 0; account < kAccounts; ++account) {
      if (MailOf(process, "a" + std::to_string(account)) != truth[account]) {
        return false;
      }
    }
    return true;
  })) << "a report was lost";
}

}  // namespace
}  // namespace hosting

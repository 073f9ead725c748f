// Exactness and speed: eight clients that deliver, expunge, die and come back while the service is
// killed over and over end with figures equal to a count from scratch; a thousand reports a second.
// LBOX_USAGE_KILLS: rounds of kills (default 8). LBOX_USAGE_LOAD_SECONDS: of load (default 10).
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include <fcntl.h>
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

TEST(UsageExact, EqualToACountFromScratchAfterKills) {
  void* const memory =
      mmap(nullptr, sizeof(Stores), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Stores& stores = *new (memory) Stores();
  UsageProcess process;
  process.recount_socket = process.folder.file("recount");
  std::vector<pid_t> clients;
  for (uint64_t i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      BeAClient(process, stores, i);
    }
    clients.push_back(child);
  }
  auto recounter = std::make_unique<Recounter>(process, process.recount_socket, stores);
  std::mt19937_64 random(1);
  const int kills = Setting("LBOX_USAGE_KILLS", 8);
  for (int i = 0; i < kills; ++i) {
    process.Start();
    std::this_thread::sleep_for(std::chrono::milliseconds(50 + random() % 400));
    process.Kill();
  }
  process.Start();
  stores.stop = true;
  for (const pid_t child : clients) {
    waitpid(child, nullptr, 0);
  }
  // A session that died while the service was away may have left nothing but its mark in the
  // ledger, which is looked at some time after the service's start.
  const auto right = [&] {
    for (int account = 0; account < 2; ++account) {
      uint64_t truth = 0;
      for (int i = account; i < kUsers; i += 2) {
        truth += stores.store[i].bytes;
      }
      if (MailOf(process, "a" + std::to_string(account)) != truth) {
        return false;
      }
    }
    return true;
  };
  const bool became_right = Eventually(right, 60);
  for (int i = 0; i < kUsers; ++i) {
    printf("user %d: %lu bytes, transaction %lu\n", i, stores.store[i].bytes,
           stores.store[i].counter);
  }
  printf("recounts: %d\n", recounter->counted.load());
  EXPECT_TRUE(became_right) << MailOf(process, "a0") << " " << MailOf(process, "a1");
  recounter.reset();
  munmap(memory, sizeof(Stores));
}

// 1,000 deliveries a second over 200 accounts: each asks for figures, then reports.
TEST(UsageLoad, ThousandReportsASecond) {
  constexpr int kAccounts = 200;
  constexpr int kThreads = 4;
  constexpr int kRate = 1000;
  const int seconds = Setting("LBOX_USAGE_LOAD_SECONDS", 10);
  UsageProcess process;
  process.accounts = kAccounts;
  process.Start();
  std::vector<std::vector<int64_t>> added(kThreads);  // us: Figures() and Report()
  std::vector<std::vector<int64_t>> answered(kThreads);
  std::vector<uint64_t> truth(kAccounts);
  std::vector<std::thread> threads;
  std::atomic<int> late{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      constexpr int kMine = kAccounts / kThreads;
      std::vector<std::unique_ptr<UsageClient>> clients;
      for (int i = 0; i < kMine; ++i) {
        const int account = t * kMine + i;
        clients.push_back(process.Client("ann@a" + std::to_string(account) + ".test"));
        (void)clients.back()->Connect();
      }
      const auto start = Clock::now();
      const int count = seconds * kRate / kThreads;
      for (int n = 0; n < count; ++n) {
        std::this_thread::sleep_until(start +
                                      std::chrono::microseconds(1000000LL * n * kThreads / kRate));
        const int i = n % kMine;
        const int account = t * kMine + i;
        const auto begin = Clock::now();
        const Lookup lookup = clients[i]->Figures();
        clients[i]->Report(Amount(truth[account] += 1000, static_cast<uint64_t>(n) + 1), {});
        added[t].push_back(
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count());
        late += lookup.trust != Trust::kLive ? 1 : 0;
        if (n % 10 == 0) {  // how long until it would be seen by another check
          const auto asked = Clock::now();
          (void)clients[i]->Figures();
          answered[t].push_back(
              std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - asked).count());
        }
      }
      for (auto& client : clients) {
        client->Close();
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
  printf("Figures() and Report(): p50 %ld us, p99 %ld us, p99.9 %ld us, max %ld us\n",
         percentile(added, 0.5), percentile(added, 0.99), percentile(added, 0.999),
         percentile(added, 1));
  printf("until the report's answer: p50 %ld us, p99 %ld us\n", percentile(answered, 0.5),
         percentile(answered, 0.99));
  EXPECT_EQ(late, 0);
  // A sanitizer's slowness, or a machine with too much to do, is not what is measured here.
  EXPECT_LT(percentile(added, 0.99), Setting("LBOX_USAGE_P99_US", 2000));
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

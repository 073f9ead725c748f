// A store of 1,000,000 messages in the address space that Dovecot gives a mail process: 40
// mailboxes that grow at the same time and one of 200,000 messages, on which then happens what
// clients do. The index must stay below 170 MiB throughout.
#include <chrono>
#include <cstdio>
#include <ctime>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/store_check.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // its shadow memory does not fit under a limit
constexpr uint32_t kScale = 10;
#else
constexpr bool kSanitized = false;
constexpr uint32_t kScale = 1;
#endif
constexpr uint64_t kAddressSpace = uint64_t{256} << 20;  // Dovecot's default vsz_limit
constexpr uint64_t kMaxIndexBytes = uint64_t{170} << 20;
constexpr uint32_t kMailboxes = 40;
constexpr uint32_t kEach = 20000 / kScale;
constexpr uint32_t kLarge = 200000 / kScale;

class Timer {
 public:
  explicit Timer(const char* name) : name_(name) {}
  ~Timer() {
    const auto time = std::chrono::steady_clock::now() - start_;
    printf("%-28s %6lld ms\n", name_,
           static_cast<long long>(
               std::chrono::duration_cast<std::chrono::milliseconds>(time).count()));
    fflush(stdout);
  }

 private:
  const char* const name_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Million {
 public:
  explicit Million(const std::string& path) : store_(MustOpen(OptionsFor(path))) {}

  void Run() {
    ASSERT_NE(store_, nullptr);
    large_ = MustCreate(*store_, 1000);
    {
      Timer timer("fill");
      Fill();
    }
    CheckSize("filled");
    Select();
    StoreFlags();
    CheckSize("after STORE 1:*");
    ExpungeHalf();
    CheckSize("after expunging half");
    Uidl();
    auto report = CheckStore(*store_, {true, false});
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& problem : report->problems) {
      ADD_FAILURE() << problem;
    }
    EXPECT_EQ(report->messages, kMailboxes * kEach + kLarge / 2);
  }

 private:
  // The bodies do not matter here: one staged body is saved again and again, each time as a new
  // one.
  void SaveSome(const Guid& mailbox, uint32_t count) {
    std::vector<NewMessage> messages(count);
    for (NewMessage& message : messages) {
      message.staged = body_.get();
      message.guid = MakeGuid(++serial_);
      message.received = 1700000000 + static_cast<int64_t>(serial_);
      message.saved = 1700000000;
      message.cause = Cause::kDelivered;
    }
    auto result = store_->Save(mailbox, 1, messages, {});
    ASSERT_TRUE(result.ok()) << result.status().message();
  }

  void Fill() {
    body_ = std::move(Stage(*store_, "Subject: tiny\r\n\r\nx\r\n").value());
    std::vector<Guid> boxes;
    for (uint32_t i = 0; i < kMailboxes; i++) {
      boxes.push_back(MustCreate(*store_, i + 1));
    }
    constexpr uint32_t kBatch = 20;
    for (uint32_t round = 0; round < kEach / kBatch; round++) {
      for (const Guid& box : boxes) {
        SaveSome(box, kBatch);
      }
      SaveSome(large_, kLarge / (kEach / kBatch));
      if (::testing::Test::HasFailure()) {
        return;
      }
    }
  }

  void CheckSize(const char* when) {
    const auto status = store_->GetStatus();
    ASSERT_TRUE(status.ok());
    printf("%-28s index %.1f MiB, of it free %.1f, %.1f bytes a message; map %.0f of %.0f MiB\n",
           when, status->index_bytes / 1048576.0, status->index_free_bytes / 1048576.0,
           double(status->index_bytes) / double(status->messages), status->map_bytes / 1048576.0,
           status->map_limit_bytes / 1048576.0);
    EXPECT_LT(status->index_bytes, kMaxIndexBytes / kScale + (kScale - 1) * 4096 * 100) << when;
  }

  static double CpuNanoseconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
  }

  void Select() {
    uint64_t bytes = 0, count = 0;
    const auto visit = [&](const Message& message, const MessageExtra*) {
      bytes += message.virtual_size;
      count++;
      return true;
    };
    const double before = CpuNanoseconds();
    ASSERT_TRUE(store_->Scan(large_, 1, UINT32_MAX, visit).ok());
    const double each = (CpuNanoseconds() - before) / kLarge;
    EXPECT_EQ(count, kLarge);
    EXPECT_GT(bytes, 0u);
    printf("%-28s %6.0f ns of CPU a message, pages read for the first time\n", "scan", each);
    if (!kSanitized) {
      EXPECT_LT(each, 1000);
    }
  }

  void StoreFlags() {
    Timer timer("STORE 1:* +FLAGS");
    const Change change = AddFlags(1, UINT32_MAX, 0x08);
    const auto result = store_->Apply(large_, {&change, 1});
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(store_->Lookup(large_, kLarge)->flags, 0x08);
  }

  void ExpungeHalf() {
    Timer timer("expunge every other");
    std::vector<Change> changes;
    for (uint32_t uid = 1; uid < kLarge; uid += 2) {
      changes.push_back(Expunge(uid, uid));
    }
    const auto result = store_->Apply(large_, changes);
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->expunged, kLarge / 2);
  }

  void Uidl() {
    Timer timer("POP3 UIDL");
    std::string uidls;
    ASSERT_TRUE(store_
                    ->Scan(large_, 1, UINT32_MAX,
                           [&](const Message& message, const MessageExtra*) {
                             uidls = ToHex(message.guid);
                             return true;
                           })
                    .ok());
    EXPECT_EQ(uidls.size(), 32u);
  }

  std::shared_ptr<Store> store_;
  std::unique_ptr<StagedBody> body_;
  Guid large_;
  uint64_t serial_ = 0;
};

TEST(StoreMillionTest, FitsTheAddressSpaceOfAMailProcess) {
  const TempFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{kAddressSpace, kAddressSpace};
    if (!kSanitized && setrlimit(RLIMIT_AS, &limit) != 0) {
      _exit(2);
    }
    Million(folder / "store").Run();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace lbox

// Several processes on one store, some of them killed: nothing acknowledged is lost, what is read
// is what was saved, and in the end everything adds up.
#include <csignal>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/index_file.h"
#include "storage/store_check.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;
using namespace std::chrono_literals;

// A message's text follows from its number, and the number from its GUID: whoever finds it can tell
// whether it is right.
std::string TextOf(uint64_t number) {
  return Noise(number % 50 == 0 ? 250000 : 50 + number * 7919 % 4000, number);
}
uint64_t NumberOf(const Guid& guid) {
  uint64_t number = 0;
  for (int i = 0; i < 8; i++) {
    number = number << 8 | guid.bytes[8 + i];
  }
  return number;
}

Result<uint32_t> SaveNumber(Store& store, const Guid& mailbox, uint64_t number) {
  auto staged = Stage(store, TextOf(number));
  if (!staged.ok()) {
    return staged.status();
  }
  NewMessage message;
  message.staged = staged->get();
  message.guid = MakeGuid(number);
  auto result = store.Save(mailbox, 1, {&message, 1}, {});
  if (!result.ok()) {
    return result.status();
  }
  return message.uid;
}

void ExpectSound(Store& store) {
  auto report = CheckStore(store, {true, true});
  ASSERT_TRUE(report.ok()) << report.status().message();
  for (const std::string& problem : report->problems) {
    ADD_FAILURE() << problem;
  }
}

// The tests' children; each must end with 0 unless it was killed.
class Children {
 public:
  template <typename Work>
  pid_t Start(Work work) {
    const pid_t child = fork();
    if (child == 0) {
      work();
      _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    pids_.insert(child);
    return child;
  }
  void Kill(pid_t child) {
    kill(child, SIGKILL);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    pids_.erase(child);
  }
  void JoinAll() {
    for (const pid_t child : pids_) {
      int status = 0;
      EXPECT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0);
    }
    pids_.clear();
  }
  ~Children() {
    for (const pid_t child : pids_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }

 private:
  std::set<pid_t> pids_;
};

// One process among several: a mailbox of its own, of which it knows everything, and one that all
// share.
class Worker {
 public:
  Worker(const StoreOptions& options, uint64_t id, const Guid& shared)
      : options_(options), id_(id), shared_(shared), random_(id), store_(MustOpen(options)) {
    own_ = MustCreate(*store_, 1000 + id);
  }

  void Run(int operations) {
    for (int i = 0; i < operations && !::testing::Test::HasFailure(); i++) {
      Step();
    }
    for (const auto& [uid, number] : known_) {
      ExpectText(own_, uid, number);
    }
    EXPECT_EQ(store_->GetMailbox(own_)->messages, known_.size());
  }

 private:
  uint64_t Random(uint64_t below) { return random_() % below; }
  uint64_t NextNumber() { return id_ * 1000000 + ++serial_; }

  void ExpectOk(const Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

  void ExpectText(const Guid& mailbox, uint32_t uid, uint64_t number) {
    const auto text = LoadText(*store_, mailbox, uid);
    ASSERT_TRUE(text.ok()) << text.status().message();
    EXPECT_TRUE(*text == TextOf(number)) << "UID " << uid;
  }

  void Step() {
    switch (Random(12)) {
      case 0:
      case 1:
      case 2: {
        const uint64_t number = NextNumber();
        const auto uid = SaveNumber(*store_, own_, number);
        ExpectOk(uid.status());
        if (uid.ok()) {
          EXPECT_TRUE(known_.emplace(*uid, number).second);
        }
        break;
      }
      case 3:
      case 4:
        ExpectOk(SaveNumber(*store_, shared_, NextNumber()).status());
        break;
      case 5:
        CopyToShared();
        break;
      case 6: {
        if (!known_.empty()) {
          const auto it = std::next(known_.begin(), static_cast<long>(Random(known_.size())));
          const Change change = Expunge(it->first, it->first);
          const auto result = store_->Apply(own_, {&change, 1});
          ExpectOk(result.status());
          EXPECT_EQ(result->expunged, 1u);
          known_.erase(it);
        }
        break;
      }
      case 7: {
        const auto first = static_cast<uint32_t>(Random(store_->GetMailbox(shared_)->next_uid));
        const Change change = Expunge(first, first + static_cast<uint32_t>(Random(10)));
        ExpectOk(store_->Apply(shared_, {&change, 1}).status());
        break;
      }
      case 8: {
        const auto first = static_cast<uint32_t>(Random(store_->GetMailbox(shared_)->next_uid));
        const Change change = AddFlags(first, first + static_cast<uint32_t>(Random(100)),
                                       static_cast<uint8_t>(Random(32)));
        ExpectOk(store_->Apply(shared_, {&change, 1}).status());
        break;
      }
      case 9:
      case 10:
        ReadShared();
        break;
      default:
        if (Random(4) == 0) {
          const auto more = store_->Maintain(20ms, Random(3) == 0);
          ExpectOk(more.status());
        } else if (Random(4) == 0) {
          store_.reset();
          store_ = MustOpen(options_);
        }
    }
  }

  void CopyToShared() {
    if (known_.empty()) {
      return;
    }
    const auto it = std::next(known_.begin(), static_cast<long>(Random(known_.size())));
    NewMessage copy;
    copy.source_mailbox = own_;
    copy.source_uid = it->first;
    copy.guid = MakeGuid(it->second);
    ExpectOk(store_->Save(shared_, 1, {&copy, 1}, {}).status());
  }

  // Others expunge meanwhile: a message may be gone, never another.
  void ReadShared() {
    std::vector<Message> messages;
    const auto first = static_cast<uint32_t>(Random(store_->GetMailbox(shared_)->next_uid));
    const Status status =
        store_->Scan(shared_, first, UINT32_MAX, [&](const Message& message, const MessageExtra*) {
          messages.push_back(message);
          return messages.size() < 5;
        });
    ExpectOk(status);
    for (const Message& message : messages) {
      const auto text = LoadText(*store_, shared_, message.uid);
      if (text.status().code() == Code::kNotFound) {
        continue;
      }
      ASSERT_TRUE(text.ok()) << text.status().message();
      EXPECT_TRUE(*text == TextOf(NumberOf(message.guid))) << "UID " << message.uid;
    }
  }

  const StoreOptions options_;
  const uint64_t id_;
  const Guid shared_;
  std::mt19937_64 random_;
  std::shared_ptr<Store> store_;
  Guid own_;
  uint64_t serial_ = 0;
  std::map<uint32_t, uint64_t> known_;
};

class StoreProcessesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = OptionsFor(folder_ / "store");
    const auto store = MustOpen(options_);
    ASSERT_NE(store, nullptr);
    shared_ = MustCreate(*store, 1);
  }

  TempFolder folder_;
  StoreOptions options_;
  Guid shared_;
};

TEST_F(StoreProcessesTest, WorkTogether) {
  Children children;
  for (uint64_t id = 1; id <= 4; id++) {
    children.Start([&] { Worker(options_, id, shared_).Run(1500); });
  }
  children.JoinAll();
  const auto store = MustOpen(options_);
  ExpectSound(*store);
  while (store->Maintain(1000ms, true).value()) {
  }
  ExpectSound(*store);
  EXPECT_EQ(store->GetStatus()->dead_bytes, 0u);
  EXPECT_TRUE(Names(folder_ / "store/tmp").empty());
}

// An index is looked at before LMDB maps it, whatever others commit at that moment.
TEST_F(StoreProcessesTest, LookAtAnIndexThatGrows) {
  Children children;
  children.Start([&] {
    const auto store = MustOpen(options_);
    for (uint64_t number = 1; number <= 4000; number++) {
      MustCreate(*store, 1000 + number);
    }
  });
  uint64_t bytes = 0;
  for (int i = 0; i < 40000; i++) {
    const auto info = ReadIndexFile(*Env::Default(), folder_ / "store/index.1");
    EXPECT_TRUE(info.ok()) << info.status().message();
    if (!info.ok()) {
      break;
    }
    bytes = info->file_bytes;
  }
  EXPECT_GT(bytes, 200000U);
  children.JoinAll();
}

// A process that saves and expunges for ever and says what was acknowledged, until it is killed.
struct Acknowledged {
  uint32_t uid = 0;
  uint32_t expunged = 0;  // another UID, gone by now
  uint64_t number = 0;
};

[[noreturn]] void SaveForEver(const StoreOptions& options, const Guid& mailbox, uint64_t base,
                              int pipe) {
  const auto store = MustOpen(options);
  std::vector<uint32_t> uids;
  for (uint64_t number = base;; number++) {
    Acknowledged done;
    const auto uid = SaveNumber(*store, mailbox, number);
    if (!uid.ok()) {
      fprintf(stderr, "%s\n", uid.status().message().c_str());
      _exit(1);
    }
    done.uid = *uid;
    done.number = number;
    uids.push_back(*uid);
    if (number % 3 == 0) {
      const uint32_t victim = uids[number * 7 % uids.size()];
      const Change change = Expunge(victim, victim);
      if (!store->Apply(mailbox, {&change, 1}).ok()) {
        _exit(1);
      }
      std::erase(uids, victim);
      done.expunged = victim;
    }
    if (number % 40 == 0 && !store->Maintain(20ms, true).ok()) {
      _exit(1);
    }
    if (write(pipe, &done, sizeof(done)) != sizeof(done)) {
      _exit(1);
    }
  }
}

TEST_F(StoreProcessesTest, KilledWritersLoseNothingAcknowledged) {
  std::mt19937_64 random(7);
  std::map<uint32_t, uint64_t> known;
  std::set<uint32_t> expunged;
  int missing = 0;
  for (int round = 0; round < 25 && !HasFailure(); round++) {
    SCOPED_TRACE("round " + std::to_string(round));
    Children children;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    // Two at once: one is killed, the other must get on.
    const uint64_t base = 1000000 * static_cast<uint64_t>(round + 1);
    const pid_t first = children.Start([&] { SaveForEver(options_, shared_, base, ends[1]); });
    const pid_t second =
        children.Start([&] { SaveForEver(options_, shared_, base + 500000, ends[1]); });
    close(ends[1]);
    const auto take = [&] {
      Acknowledged done;
      if (read(ends[0], &done, sizeof(done)) != sizeof(done)) {
        return false;
      }
      known[done.uid] = done.number;
      if (done.expunged != 0) {
        expunged.insert(done.expunged);
      }
      return true;
    };
    for (uint64_t n = 5 + random() % 60; n > 0; n--) {
      ASSERT_TRUE(take());
    }
    const bool kill_first = random() % 2 == 0;
    children.Kill(kill_first ? first : second);
    int waiting = 0;  // said before the kill
    ASSERT_EQ(ioctl(ends[0], FIONREAD, &waiting), 0);
    for (size_t n = static_cast<size_t>(waiting) / sizeof(Acknowledged) + 20; n > 0; n--) {
      ASSERT_TRUE(take()) << "the survivor ended";
    }
    children.Kill(kill_first ? second : first);
    while (take()) {
    }
    close(ends[0]);

    const auto store = MustOpen(options_);
    ASSERT_NE(store, nullptr);
    std::set<uint32_t> present;
    ASSERT_TRUE(store
                    ->Scan(shared_, 1, UINT32_MAX,
                           [&](const Message& message, const MessageExtra*) {
                             present.insert(message.uid);
                             return true;
                           })
                    .ok());
    for (const auto& [uid, number] : known) {
      if (expunged.contains(uid)) {
        EXPECT_FALSE(present.contains(uid)) << "UID " << uid << " came back";
      } else if (present.contains(uid)) {
        const auto text = LoadText(*store, shared_, uid);
        ASSERT_TRUE(text.ok()) << text.status().message();
        EXPECT_TRUE(*text == TextOf(number));
      } else {
        // Expunged, and killed before it could say so: one for each of the two.
        expunged.insert(uid);
        missing++;
      }
    }
    EXPECT_LE(missing, 2 * (round + 1));
    ExpectSound(*store);
  }
}

// A session that idles, and one that was killed while it read, must not make the index grow: what
// they saw last would keep every page freed since from being used again.
class StoreReadersTest : public StoreProcessesTest {
 protected:
  void SetUp() override {
    StoreProcessesTest::SetUp();
    store_ = MustOpen(options_);
    for (uint64_t number = 1; number <= 100; number++) {
      ASSERT_TRUE(SaveNumber(*store_, shared_, number).ok());
    }
    ASSERT_EQ(pipe(ready_), 0);
    ASSERT_EQ(pipe(go_), 0);
  }
  void TearDown() override {
    for (const int end : {ready_[0], ready_[1], go_[0], go_[1]}) {
      close(end);
    }
  }
  // In the child: says that it is there, and waits.
  void Wait() {
    char byte = 'x';
    EXPECT_EQ(write(ready_[1], &byte, 1), 1);
    EXPECT_EQ(read(go_[0], &byte, 1), 1);
  }
  void AwaitChild() {
    char byte = 0;
    ASSERT_EQ(read(ready_[0], &byte, 1), 1);
  }
  void ExpectNoGrowth() {
    const uint64_t before = store_->GetStatus()->index_bytes;
    for (uint32_t i = 0; i < 1000; i++) {
      const Change change = AddFlags(1 + i % 100, 1 + i % 100, static_cast<uint8_t>(1 + i / 100));
      ASSERT_TRUE(store_->Apply(shared_, {&change, 1}).ok());
    }
    EXPECT_LE(store_->GetStatus()->index_bytes, 2 * before + 256 * 1024);
  }

  std::shared_ptr<Store> store_;
  int ready_[2], go_[2];
};

TEST_F(StoreReadersTest, IdleSession) {
  store_.reset();
  Children children;
  children.Start([&] {
    const auto store = MustOpen(options_);
    EXPECT_EQ(store->GetMailbox(shared_)->messages, 100u);
    EXPECT_TRUE(LoadText(*store, shared_, 1).ok());
    Wait();
    EXPECT_EQ(store->GetMailbox(shared_)->messages, 100u);
  });
  AwaitChild();
  store_ = MustOpen(options_);
  ExpectNoGrowth();
  EXPECT_EQ(write(go_[1], "x", 1), 1);
  children.JoinAll();
}

TEST_F(StoreReadersTest, KilledWhileReading) {
  store_.reset();
  Children children;
  const pid_t child = children.Start([&] {
    const auto store = MustOpen(options_);
    (void)store->Scan(shared_, 1, UINT32_MAX, [&](const Message&, const MessageExtra*) {
      Wait();
      return true;
    });
  });
  AwaitChild();
  // Open already when the reader dies: opening would clear its slot.
  store_ = MustOpen(options_);
  children.Kill(child);
  ExpectNoGrowth();
}

}  // namespace
}  // namespace lbox

// Who dies with the index open leaves a mark, and who opens it next looks first.
#include <chrono>
#include <csignal>
#include <functional>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "storage/coding.h"
#include "storage/store_lock.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;
using Clock = std::chrono::steady_clock;

class OpenMarksTest : public ::testing::Test {
 protected:
  void Fill(size_t messages) {
    const auto store = MustOpen(Options());
    const Guid box = MustCreate(*store, 1);
    const auto body = Stage(*store, "Subject: x\r\n\r\n");
    std::vector<NewMessage> batch(messages);
    for (NewMessage& message : batch) {
      message.staged = body->get();
    }
    ASSERT_TRUE(store->Save(box, 1, batch, {}).ok());
  }
  StoreOptions Options() const { return OptionsFor(path_); }

  // Ends by SIGKILL with the store open. Its process id.
  pid_t Die() const {
    const pid_t child = fork();
    if (child == 0) {
      const auto store = Store::Open(Options());
      raise(SIGKILL);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    return child;
  }

  std::vector<uint32_t> Marks() const {
    std::vector<uint32_t> marks;
    const std::string bytes = ReadFile(path_ + "/lock");
    for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      const auto mark = LoadLittle<uint32_t>(reinterpret_cast<const uint8_t*>(bytes.data()) + at);
      if (mark != 0) {
        marks.push_back(mark);
      }
    }
    return marks;
  }

  // Damages what the look reads and opening alone does not: message rows.
  void DamageRows() const {
    std::string index = ReadFile(path_ + "/index.1");
    constexpr size_t kPage = 4096, kFlagsAt = 10, kInARow = 16 + 40;
    constexpr char kPackedRows = 0x22;  // LMDB's flags of a leaf without nodes
    for (size_t page = 0; page + kPage <= index.size(); page += kPage) {
      if (index[page + kFlagsAt] == kPackedRows) {
        index[page + kInARow] = static_cast<char>(index[page + kInARow] ^ 0x55);
      }
    }
    WriteFile(path_ + "/index.1", index);
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "store";
};

TEST_F(OpenMarksTest, OnlyTheDeadLeaveOne) {
  Fill(100);
  EXPECT_TRUE(Marks().empty());
  {
    const auto store = MustOpen(Options());
    EXPECT_EQ(Marks(), std::vector<uint32_t>{static_cast<uint32_t>(getpid())});
  }
  EXPECT_TRUE(Marks().empty());
  const auto dead = static_cast<uint32_t>(Die());
  EXPECT_EQ(Marks(), std::vector<uint32_t>{dead});
  (void)MustOpen(Options());
  EXPECT_TRUE(Marks().empty()) << "the look was good, and the mark stays";
}

TEST_F(OpenMarksTest, WhoComesNextLooksFirst) {
  Fill(5000);
  DamageRows();
  // Opening alone does not read them.
  EXPECT_TRUE(Store::Open(Options()).ok());
  Die();
  for (int i = 0; i < 2; i++) {
    const auto store = Store::Open(Options());
    ASSERT_EQ(store.status().code(), Code::kCorruption);
    EXPECT_NE(store.status().message().find("doveadm lbox repair"), std::string::npos)
        << store.status().message();
  }
}

// Marks of processes that live, or that are no marks, cost nothing.
TEST_F(OpenMarksTest, NoLookWithoutADeadProcess) {
  Fill(5000);
  DamageRows();
  std::string bytes(size_t{4} * kMarks, '\xee');  // numbers in wrong places
  StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + size_t{4} * (getppid() % kMarks),
              static_cast<uint32_t>(getppid()));
  WriteFile(path_ + "/lock", bytes);
  EXPECT_TRUE(Store::Open(Options()).ok());
}

TEST_F(OpenMarksTest, ALookIsShort) {
  Fill(100'000);
  const auto open = [&] {
    const auto start = Clock::now();
    EXPECT_NE(MustOpen(Options()), nullptr);
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
  };
  const auto usual = open();
  Die();
  const auto looking = open();
  printf("[          ] 100,000 messages: opening takes %ld us, with a look %ld us\n",
         static_cast<long>(usual), static_cast<long>(looking));
  EXPECT_LT(looking, 3'000'000);
  EXPECT_TRUE(Marks().empty());
}

}  // namespace
}  // namespace lbox

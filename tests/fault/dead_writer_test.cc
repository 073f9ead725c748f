// What the very end of a commit leaves to others: of a process that dies when the meta page is
// written and the lock file does not say so yet; of one whose disk fails there.
#include <cerrno>
#include <csignal>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/calls.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

constexpr uint64_t kMetaPages = 8192;

bool WritesMeta(const Call& call) {
  char path[4096] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(call.fd);
  return call.kind == CallKind::kWrite && call.offset < kMetaPages &&
         readlink(link.c_str(), path, sizeof(path) - 1) > 0 &&
         std::string(path).ends_with("/index.1");
}

// Kills its own process as soon as a meta page has been written.
class DiesAfterMeta : public CallObserver {
 public:
  void After(const Call& call, int64_t result) override {
    if (result > 0 && WritesMeta(call)) {
      kill(getpid(), SIGKILL);
    }
  }
};

// The first meta page is written, but the flush of it fails; from then on all writes and flushes.
class FailsAtMeta : public CallObserver {
 public:
  int Before(Call& call) override {
    const bool first = !failing_ && WritesMeta(call);
    failing_ |= first;
    call.made = first;
    return failing_ && (call.kind == CallKind::kWrite || call.kind == CallKind::kSync) ? EIO : 0;
  }

 private:
  bool failing_ = false;
};

class CountsMetas : public CallObserver {
 public:
  void After(const Call& call, int64_t result) override {
    written += result > 0 && WritesMeta(call) ? 1 : 0;
  }
  int written = 0;
};

class DeadWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto store = MustOpen(options_);
    ASSERT_NE(store, nullptr);
    box_ = MustCreate(*store, 1);
    ASSERT_TRUE(SaveText(*store, box_, "one").ok());
  }

  // A process that saves a message and dies so, while this one has the store open.
  void SaveAndDie() {
    int go[2];
    ASSERT_EQ(pipe(go), 0);
    const pid_t child = fork();
    if (child == 0) {
      char byte = 0;
      if (read(go[0], &byte, 1) == 1) {
        const auto store = MustOpen(options_);
        DiesAfterMeta observer;
        const Observe observe(observer);
        (void)SaveText(*store, box_, "two");
      }
      _exit(1);
    }
    store_ = MustOpen(options_);
    ASSERT_TRUE(store_->GetMailbox(box_).ok());
    ASSERT_EQ(write(go[1], "x", 1), 1);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(go[0]);
    close(go[1]);
  }

  TempFolder folder_;
  const StoreOptions options_ = OptionsFor(folder_ / "store");
  std::shared_ptr<Store> store_;
  Guid box_;
};

TEST_F(DeadWriterTest, ASaveNoticesWhatReadersDoNotSee) {
  SaveAndDie();
  const auto seen = store_->GetMailbox(box_);
  ASSERT_TRUE(seen.ok());
  ASSERT_EQ(seen->next_uid, 2u) << "LMDB shows it to readers: then all this is not needed";

  NewMessage message;
  const auto staged = Stage(*store_, "three");
  message.staged = staged->get();
  EXPECT_EQ(store_->Save(box_, seen->next_uid, {&message, 1}, {}, seen->change).status().code(),
            Code::kAborted);
  const auto now = store_->GetMailbox(box_);
  ASSERT_TRUE(now.ok());
  EXPECT_EQ(now->next_uid, 3u);
  EXPECT_EQ(LoadText(*store_, box_, 2).value(), "two");
  ASSERT_TRUE(store_->Save(box_, now->next_uid, {&message, 1}, {}, now->change).ok());
  EXPECT_EQ(message.uid, 3u);
}

TEST_F(DeadWriterTest, ChangesNoticeIt) {
  SaveAndDie();
  const uint64_t seen = store_->GetMailbox(box_)->change;
  const Change flags = AddFlags(1, 1, 8);
  const auto applied = store_->Apply(box_, {&flags, 1});
  ASSERT_TRUE(applied.ok());
  EXPECT_EQ(applied->before, seen + 1);
}

// A change that somebody made and could not make durable is there to see, perhaps; who is asked for
// it once more makes it so before saying that it is done.
TEST_F(DeadWriterTest, WhatAFailedCommitLeftIsMadeDurable) {
  const Guid other = [&] {
    const auto store = MustOpen(options_);
    return MustCreate(*store, 2);
  }();
  const Change removal = Expunge(1, 1);
  const auto fail = [&](auto work) {
    const pid_t child = fork();
    if (child == 0) {
      const auto store = MustOpen(options_);
      FailsAtMeta observer;
      const Observe observe(observer);
      _exit(work(*store) ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0) << "it did not fail";
  };

  fail([&](Store& store) { return store.Apply(box_, {&removal, 1}).ok(); });
  store_ = MustOpen(options_);
  ASSERT_EQ(store_->Lookup(box_, 1).status().code(), Code::kNotFound) << "nothing is to be seen";
  {
    CountsMetas observer;
    const Observe observe(observer);
    ASSERT_TRUE(store_->Apply(box_, {&removal, 1}).ok());
    EXPECT_GT(observer.written, 0);
  }
  store_.reset();
  fail([&](Store& store) { return store.DeleteMailbox(other).ok(); });
  store_ = MustOpen(options_);
  ASSERT_EQ(store_->GetMailbox(other).status().code(), Code::kNotFound) << "nothing is to be seen";
  CountsMetas observer;
  const Observe observe(observer);
  EXPECT_EQ(store_->DeleteMailbox(other).code(), Code::kNotFound);
  EXPECT_GT(observer.written, 0);
}

}  // namespace
}  // namespace lbox::testing

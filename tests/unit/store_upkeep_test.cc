// Freeing: packs are rewritten, the index shrinks, leftovers are swept; by several processes, and
// whatever call fails on the way.
#include <filesystem>
#include <random>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/index_env.h"
#include "storage/pack_files.h"
#include "storage/store_check.h"
#include "storage/store_impl.h"
#include "tests/unit/fault_env.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

namespace fs = std::filesystem;
using namespace lbox::testing;
using namespace std::chrono_literals;

class StoreUpkeepTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = OptionsFor(folder_ / "store");
    options_.env = &env_;
    Reopen();
    box_ = MustCreate(*store_, 1);
  }
  void Reopen() {
    store_.reset();
    store_ = MustOpen(options_);
    ASSERT_NE(store_, nullptr);
  }
  void Fill(uint32_t count, size_t size = 3000) {
    for (uint32_t i = 0; i < count; i++) {
      const auto uid = SaveText(*store_, box_, Noise(size, ++saved_));
      ASSERT_TRUE(uid.ok()) << uid.status().message();
      ASSERT_EQ(*uid, saved_);
    }
  }
  // An index of some 1.5 MB, most of it free.
  void FillIndex() {
    std::vector<NewMessage> messages(11000);
    auto body = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
    for (NewMessage& message : messages) {
      message.staged = body.get();
    }
    ASSERT_TRUE(store_->Save(box_, 1, messages, {}).ok());
    const Change most = Expunge(1, store_->GetMailbox(box_)->next_uid - 21);
    ASSERT_TRUE(store_->Apply(box_, {&most, 1}).ok());
    ASSERT_EQ(store_->GetMailbox(box_)->messages, 20u);
  }
  // Keeps every n-th.
  void Thin(uint32_t n) {
    std::vector<Change> changes;
    for (uint32_t uid = 1; uid <= saved_; uid++) {
      if (uid % n != 0) {
        changes.push_back(Expunge(uid, uid));
      }
    }
    ASSERT_TRUE(store_->Apply(box_, changes).ok());
  }
  void MaintainAll(bool exhaustive) {
    for (int i = 0; i < 200; i++) {
      const auto more = store_->Maintain(1000ms, exhaustive);
      ASSERT_TRUE(more.ok()) << more.status().message();
      if (!*more) {
        return;
      }
    }
    FAIL() << "Maintain does not come to an end";
  }
  void ExpectSound(uint64_t messages) {
    auto report = CheckStore(*store_, {true, true});
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& problem : report->problems) {
      ADD_FAILURE() << problem;
    }
    EXPECT_EQ(report->messages, messages);
  }
  void ExpectTexts(uint32_t n, size_t size = 3000) {
    for (uint32_t uid = n; uid <= saved_; uid += n) {
      const auto text = LoadText(*store_, box_, uid);
      ASSERT_TRUE(text.ok()) << text.status().message();
      ASSERT_TRUE(*text == Noise(size, uid)) << uid;
    }
  }
  uint64_t PackBytes() {
    uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / "store/p")) {
      bytes += entry.file_size();
    }
    return bytes;
  }

  TempFolder folder_;
  FaultEnv env_;
  StoreOptions options_;
  std::shared_ptr<Store> store_;
  Guid box_;
  uint32_t saved_ = 0;
};

TEST_F(StoreUpkeepTest, NothingToDo) {
  Fill(10);
  EXPECT_FALSE(store_->WantsMaintenance());
  EXPECT_FALSE(store_->Maintain(0ms).value());
  EXPECT_FALSE(store_->Maintain(100ms).value());
  ExpectSound(10);
}

TEST_F(StoreUpkeepTest, ThinnedPacksAreRewritten) {
  Fill(8000);  // some 20 MB: a full pack and one in use
  ASSERT_EQ(Names(folder_ / "store/p").size(), 2u);
  const uint64_t before = PackBytes();
  Thin(10);
  EXPECT_TRUE(store_->WantsMaintenance());
  EXPECT_TRUE(store_->Maintain(0ms).value()) << "no budget, but work to do";
  EXPECT_EQ(PackBytes(), before);
  MaintainAll(false);
  EXPECT_FALSE(store_->WantsMaintenance());
  const auto status = store_->GetStatus();
  EXPECT_EQ(PackBytes(), status->stored_bytes + status->dead_bytes);
  EXPECT_LT(PackBytes(), before / 9);
  EXPECT_EQ(Names(folder_ / "store/p").size(), 1u) << "together they fit one pack";
  ExpectTexts(10);
  ExpectSound(800);
  // The new pack takes what comes next.
  Fill(1);
  EXPECT_EQ(Names(folder_ / "store/p").size(), 1u);
  Reopen();
  ExpectTexts(10);
  ExpectSound(801);
}

TEST_F(StoreUpkeepTest, ExhaustiveLeavesNoDeadByte) {
  Fill(20);
  Thin(2);
  EXPECT_FALSE(store_->WantsMaintenance()) << "30 kB are not worth it";
  MaintainAll(true);
  EXPECT_EQ(store_->GetStatus()->dead_bytes, 0u);
  ExpectTexts(2);
  ExpectSound(10);
}

TEST_F(StoreUpkeepTest, EmptyPacksGoAtOnce) {
  Fill(8000);
  const Change all = Expunge(1, UINT32_MAX);
  ASSERT_TRUE(store_->Apply(box_, {&all, 1}).ok());
  EXPECT_TRUE(Names(folder_ / "store/p").empty());
  ExpectSound(0);
}

TEST_F(StoreUpkeepTest, ReaderSurvivesTheRewriting) {
  Fill(300);
  const auto reader = store_->OpenBody(box_, 100);
  ASSERT_TRUE(reader.ok());
  Thin(10);
  MaintainAll(true);
  EXPECT_TRUE(ReadText(**reader).value() == Noise(3000, 100));
}

TEST_F(StoreUpkeepTest, CopiesAreRewrittenOnce) {
  Fill(100);
  const Guid other = MustCreate(*store_, 2);
  NewMessage copy;
  copy.source_mailbox = box_;
  copy.source_uid = 50;
  ASSERT_TRUE(store_->Save(other, 1, {&copy, 1}, {}).ok());
  Thin(1000);
  MaintainAll(true);
  EXPECT_TRUE(LoadText(*store_, other, copy.uid).value() == Noise(3000, 50));
  EXPECT_EQ(Names(folder_ / "store/p").size(), 1u);
  ExpectSound(1);
}

// A pack that does not hold what the index says is left alone, named once, and the others are
// rewritten all the same.
TEST_F(StoreUpkeepTest, DamagedPackStaysUntouched) {
  Fill(8000);
  Thin(10);
  const std::string path = folder_ / "store/p/00000001";
  std::string bytes = ReadFile(path);
  bytes[1000] = static_cast<char>(bytes[1000] ^ 1);
  const std::string head = bytes.substr(0, 100);
  bytes.replace(0, 4, "gone");
  store_.reset();
  WriteFile(path, bytes);
  Reopen();
  auto result = store_->Maintain(1000ms);
  while (result.ok() && *result) {
    result = store_->Maintain(1000ms);
  }
  EXPECT_EQ(result.status().code(), Code::kCorruption);
  EXPECT_NE(result.status().message().find(path), std::string::npos) << result.status().message();
  EXPECT_TRUE(ReadFile(path) == bytes);
  MaintainAll(false);
  EXPECT_TRUE(ReadFile(path) == bytes);
  EXPECT_FALSE(fs::exists(folder_ / "store/p/00000002"));
}

TEST_F(StoreUpkeepTest, IndexShrinks) {
  std::vector<NewMessage> messages(5000);
  auto body = std::move(Stage(*store_, "Subject: tiny\r\n\r\n").value());
  for (NewMessage& message : messages) {
    message.staged = body.get();
    message.pop3_uidl = "uidl-of-some-length";
  }
  for (int i = 0; i < 20; i++) {
    ASSERT_TRUE(store_->Save(box_, 1, messages, {}).ok());
  }
  const Guid other = MustCreate(*store_, 2);
  ASSERT_TRUE(SaveText(*store_, other, Noise(3000, 1), {"kept"}).ok());
  body.reset();
  const uint64_t before = store_->GetStatus()->index_bytes;
  EXPECT_GT(before, 8 * kMiB);
  const Change most = Expunge(1, 99000);
  ASSERT_TRUE(store_->Apply(box_, {&most, 1}).ok());
  EXPECT_TRUE(store_->WantsMaintenance());
  MaintainAll(false);
  const auto status = store_->GetStatus();
  EXPECT_EQ(status->generation, 2u);
  EXPECT_LT(status->index_bytes, before / 20);
  EXPECT_FALSE(fs::exists(folder_ / "store/index.1"));
  EXPECT_FALSE(fs::exists(folder_ / "store/index.1-lock"));
  EXPECT_FALSE(store_->WantsMaintenance());
  EXPECT_EQ(store_->GetMailbox(other)->keywords[0], "kept");
  EXPECT_EQ(store_->LookupExtra(box_, 99001)->pop3_uidl, "uidl-of-some-length");
  ExpectSound(1001);
  ASSERT_TRUE(SaveText(*store_, other, "Subject: after\r\n\r\n").ok());
  Reopen();
  EXPECT_EQ(store_->GetStatus()->generation, 2u);
  ExpectSound(1002);
}

// Runs `work` in a child on a store of its own opening.
template <typename Work>
void InChild(const StoreOptions& options, Work work) {
  const pid_t child = fork();
  if (child == 0) {
    auto store = MustOpen(options);
    if (store != nullptr) {
      work(*store);
    }
    store.reset();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(StoreUpkeepTest, OtherProcessesFollowToTheNewGeneration) {
  FillIndex();
  InChild(options_, [&](Store& store) {
    while (store.Maintain(1000ms, true).value()) {
    }
    EXPECT_EQ(store.GetStatus()->generation, 2u);
    ASSERT_TRUE(SaveText(store, box_, "Subject: there\r\n\r\n").ok());
  });
  // This process has generation 1 open, whose file is gone.
  EXPECT_EQ(store_->GetMailbox(box_)->messages, 21u);
  EXPECT_EQ(store_->GetStatus()->generation, 2u);
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: here\r\n\r\n").ok());
  ExpectSound(22);
}

TEST_F(StoreUpkeepTest, ShrinkingWaitsForWhoeverStages) {
  FillIndex();
  const auto writer = store_->NewBody();
  ASSERT_TRUE(writer.ok());
  InChild(options_, [&](Store& store) {
    while (store.Maintain(1000ms, true).value()) {
    }
    EXPECT_EQ(store.GetStatus()->generation, 1u);
  });
  MaintainAll(true);
  EXPECT_EQ(store_->GetStatus()->generation, 1u);
}

TEST_F(StoreUpkeepTest, SweepsWhatNoRowNames) {
  Fill(5);
  ASSERT_TRUE(SaveText(*store_, box_, Noise(400000, 1)).ok());
  for (const char* name : {"p/0000ffff", "l/00112233445566ff", "tmp/whatever", "index.7",
                           "index.7-lock", "index.backup", "p/README"}) {
    WriteFile(folder_ / (std::string("store/") + name), "left over");
  }
  MaintainAll(false);
  EXPECT_FALSE(fs::exists(folder_ / "store/p/0000ffff"));
  EXPECT_FALSE(fs::exists(folder_ / "store/tmp/whatever"));
  EXPECT_FALSE(fs::exists(folder_ / "store/index.7"));
  EXPECT_FALSE(fs::exists(folder_ / "store/index.7-lock"));
  EXPECT_TRUE(fs::exists(folder_ / "store/l/00112233445566ff")) << "takes reading all rows";
  MaintainAll(true);
  EXPECT_FALSE(fs::exists(folder_ / "store/l/00112233445566ff"));
  EXPECT_TRUE(fs::exists(folder_ / "store/index.backup")) << "not ours";
  EXPECT_TRUE(fs::exists(folder_ / "store/p/README"));
  ExpectSound(6);
}

// Who deletes many large bodies at once does not wait for all of their files to go.
TEST_F(StoreUpkeepTest, ManyFilesGoInSteps) {
  Fill(60, 200000);
  const auto files = [&] { return Names(folder_ / "store/l").size(); };
  ASSERT_EQ(files(), 60u);
  const Change all = Expunge(1, saved_);
  ASSERT_TRUE(store_->Apply(box_, {&all, 1}).ok());
  EXPECT_GT(files(), 50u);
  EXPECT_LT(files(), 60u);
  EXPECT_TRUE(store_->WantsMaintenance());
  MaintainAll(false);
  EXPECT_EQ(files(), 0u);
  EXPECT_FALSE(store_->WantsMaintenance());

  Fill(60, 200000);
  const Change more = Expunge(1, saved_);
  ASSERT_TRUE(store_->Apply(box_, {&more, 1}).ok());
  Reopen();  // as after a kill: the next one goes on
  EXPECT_TRUE(store_->WantsMaintenance());
  MaintainAll(false);
  EXPECT_EQ(files(), 0u);

  Fill(60, 200000);
  const Change last = Expunge(1, saved_);
  ASSERT_TRUE(store_->Apply(box_, {&last, 1}).ok());
  ASSERT_TRUE(store_->UnlinkDeleted().ok());
  EXPECT_EQ(files(), 0u);
}

TEST_F(StoreUpkeepTest, FilesThatCouldNotBeUnlinkedGoLater) {
  ASSERT_TRUE(SaveText(*store_, box_, Noise(400000, 1)).ok());
  env_.before = [](const std::string& call, const std::string& path) {
    return call == "unlink" && path.find("/l/") != std::string::npos ? Status(Code::kIo, "no")
                                                                     : Status();
  };
  const Change all = Expunge(1, 1);
  ASSERT_TRUE(store_->Apply(box_, {&all, 1}).ok());
  EXPECT_EQ(Names(folder_ / "store/l").size(), 1u);
  EXPECT_TRUE(store_->WantsMaintenance());
  env_.before = {};
  Reopen();
  EXPECT_TRUE(Names(folder_ / "store/l").empty()) << "the next opener";
  EXPECT_FALSE(store_->WantsMaintenance());
  ExpectSound(0);
}

// --- each call failing in turn
// -----------------------------------------------------------------------

// Runs `operation` with the n-th changing call failing, for n = 0, 1, ... until none fails. After
// each failure the store must be sound, also when opened anew, and `operation` must then succeed.
class FailingCallsTest : public StoreUpkeepTest {
 protected:
  void SetUp() override {
    StoreUpkeepTest::SetUp();
    store_.reset();
    options_.sync = true;
    Reopen();
  }

  void FailEach(Code code, int least, const std::function<void()>& prepare,
                const std::function<Status()>& operation, const std::function<void()>& check) {
    int failures = 0;
    for (uint64_t n = 0; !HasFailure(); n++) {
      SCOPED_TRACE("failing call " + std::to_string(n));
      prepare();
      env_.FailAfter(n, code);
      const Status status = operation();
      const bool failed = env_.failed();
      env_.before = {};
      if (!status.ok()) {
        failures++;
        EXPECT_EQ(status.code(), code) << status.message();
        check();
        const Status again = operation();
        EXPECT_TRUE(again.ok()) << again.message();
      }
      check();
      Reopen();
      check();
      if (!failed) {
        break;
      }
    }
    EXPECT_GE(failures, least);
  }

  void Sound() {
    auto report = CheckStore(*store_, {true, true});
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& problem : report->problems) {
      ADD_FAILURE() << problem;
    }
  }
};

TEST_F(FailingCallsTest, Save) {
  uint64_t n = 0;
  std::string small, large;
  FailEach(
      Code::kNoSpace, 5,
      [&] {
        small = Noise(3000, ++n);
        large = Noise(300000, ++n);
      },
      [&]() -> Status {
        auto a = Stage(*store_, small);
        if (!a.ok()) {
          return a.status();
        }
        auto b = Stage(*store_, large);
        if (!b.ok()) {
          return b.status();
        }
        std::vector<NewMessage> messages(2);
        messages[0].staged = a->get();
        messages[1].staged = b->get();
        auto result = store_->Save(box_, 1, messages, {});
        if (result.ok()) {
          EXPECT_TRUE(LoadText(*store_, box_, messages[0].uid).value() == small);
          EXPECT_TRUE(LoadText(*store_, box_, messages[1].uid).value() == large);
        }
        return result.status();
      },
      [&] {
        Sound();
        EXPECT_TRUE(Names(folder_ / "store/tmp").empty());
        EXPECT_EQ(Names(folder_ / "store/l").size(), store_->GetStatus()->large_bodies);
      });
}

// Not when it is its own flush that failed: the system may have dropped what it could not write,
// and a second flush would not tell.
TEST_F(FailingCallsTest, SavedBodyCanBeSavedAgainAfterAFailure) {
  uint64_t n = 0;
  size_t again = 0, lost = 0;
  for (bool failed = true; failed; n++) {
    auto body = Stage(*store_, Noise(300000, n));
    ASSERT_TRUE(body.ok());
    bool flush = false;
    env_.FailAfter(n, Code::kNoSpace);
    env_.before = [&, fail = env_.before](const std::string& call, const std::string& path) {
      Status status = fail(call, path);
      flush |= !status.ok() && call == "sync" && path.find("/tmp/") != std::string::npos;
      return status;
    };
    NewMessage message;
    message.staged = body->get();
    failed = !store_->Save(box_, 1, {&message, 1}, {}).ok();
    env_.before = {};
    if (failed) {
      EXPECT_EQ(store_->Save(box_, 1, {&message, 1}, {}).ok(), !flush) << n;
      (flush ? lost : again)++;
    }
    if (!flush) {
      EXPECT_TRUE(LoadText(*store_, box_, message.uid).value() == Noise(300000, n));
    }
  }
  EXPECT_GE(again, 2u);
  EXPECT_EQ(lost, 1u);
  Sound();
}

TEST_F(FailingCallsTest, FailedFlushAbandonsThePack) {
  Fill(1);
  env_.before = [](const std::string& call, const std::string& path) {
    return call == "sync" && path.find("/p/") != std::string::npos ? Status(Code::kIo, "lost")
                                                                   : Status();
  };
  EXPECT_EQ(SaveText(*store_, box_, "Subject: x\r\n\r\n").status().code(), Code::kIo);
  env_.before = {};
  ASSERT_TRUE(SaveText(*store_, box_, "Subject: y\r\n\r\n").ok());
  EXPECT_EQ(Names(folder_ / "store/p").size(), 2u);
  Sound();
}

TEST_F(FailingCallsTest, Reclaim) {
  FailEach(
      Code::kIo, 5,
      [&] {
        Fill(60);
        std::vector<Change> changes;
        for (uint32_t uid = saved_ - 59; uid <= saved_; uid++) {
          if (uid % 10 != 0) {
            changes.push_back(Expunge(uid, uid));
          }
        }
        ASSERT_TRUE(store_->Apply(box_, changes).ok());
      },
      [&] { return store_->Maintain(1000ms, true).status(); },
      [&] {
        Sound();
        ExpectTexts(10);
      });
  EXPECT_EQ(Names(folder_ / "store/p").size(), 1u);
}

TEST_F(FailingCallsTest, Shrink) {
  FailEach(
      Code::kIo, 5, [&] { FillIndex(); }, [&] { return store_->Maintain(1000ms, true).status(); },
      [&] { Sound(); });
  EXPECT_GT(store_->GetStatus()->generation, 5u);
}

// A process died after it had marked the old generation and before it switched CURRENT.
TEST_F(FailingCallsTest, SupersededGenerationIsFollowed) {
  FillIndex();
  const std::string current = ReadFile(folder_ / "store/CURRENT");
  env_.before = [](const std::string& call, const std::string& path) {
    return call == "rename" && path.ends_with("/CURRENT") ? Status(Code::kIo, "power cut")
                                                          : Status();
  };
  Status status;
  for (int i = 0; i < 20 && status.ok(); i++) {
    status = store_->Maintain(1000ms, true).status();
  }
  EXPECT_EQ(status.code(), Code::kIo) << status.message();
  EXPECT_EQ(ReadFile(folder_ / "store/CURRENT"), current);
  // Nobody may get on with the old one while CURRENT cannot be switched.
  EXPECT_FALSE(store_->GetMailbox(box_).ok());
  EXPECT_FALSE(SaveText(*store_, box_, "Subject: x\r\n\r\n").ok());
  env_.before = {};
  InChild(options_, [&](Store& store) {
    EXPECT_EQ(store.GetStatus()->generation, 2u);
    ASSERT_TRUE(SaveText(store, box_, "Subject: in the new one\r\n\r\n").ok());
  });
  EXPECT_EQ(store_->GetMailbox(box_)->messages, 21u);
  Sound();
  MaintainAll(true);
  EXPECT_FALSE(fs::exists(folder_ / "store/index.1"));
}

}  // namespace
}  // namespace lbox

// Opening: what is created, what is refused, each with its own error, and that refusing writes
// nothing.
#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/index_env.h"
#include "storage/open_checks.h"
#include "storage/rows.h"
#include "storage/store_check.h"
#include "tests/unit/fault_env.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

namespace fs = std::filesystem;
using namespace lbox::testing;

// Path, size and content of every file; LMDB's lock files, which any reader writes to, aside.
std::map<std::string, std::string> Snapshot(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string path = entry.path();
    if (!path.ends_with("-lock")) {
      files[path] = entry.is_directory() ? "directory" : ReadFile(path);
    }
  }
  return files;
}

void ExpectSound(Store& store) {
  auto report = CheckStore(store, {true, true});
  ASSERT_TRUE(report.ok()) << report.status().message();
  for (const std::string& problem : report->problems) {
    ADD_FAILURE() << problem;
  }
}

class StoreOpenTest : public ::testing::Test {
 protected:
  // A store with messages in a pack and a large body, closed.
  void Fill() {
    const auto store = MustOpen(Options());
    ASSERT_NE(store, nullptr);
    box_ = MustCreate(*store, 1);
    for (int i = 0; i < 20; i++) {
      ASSERT_TRUE(SaveText(*store, box_, Noise(3000, static_cast<uint64_t>(i) + 1)).ok());
    }
    ASSERT_TRUE(SaveText(*store, box_, Noise(400000, 77)).ok());
  }
  StoreOptions Options() { return OptionsFor(path_); }

  void ExpectRefused(Code code, const std::string& text, const std::string& path) {
    const auto before = Snapshot(path_);
    const auto store = Store::Open(Options());
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.status().code(), code) << store.status().message();
    EXPECT_NE(store.status().message().find(text), std::string::npos) << store.status().message();
    EXPECT_NE(store.status().message().find(path), std::string::npos) << store.status().message();
    EXPECT_EQ(Snapshot(path_), before);
  }

  TempFolder folder_;
  const std::string path_ = folder_ / "store";
  Guid box_;
};

TEST_F(StoreOpenTest, CreatesWithTheModeGiven) {
  umask(022);
  StoreOptions options = Options();
  options.path = folder_ / "deep/er/store";
  options.mode = 0660;
  const auto store = MustOpen(options);
  ASSERT_NE(store, nullptr);
  const Guid box = MustCreate(*store, 1);
  ASSERT_TRUE(SaveText(*store, box, Noise(400000, 1)).ok());
  for (const auto& entry : fs::recursive_directory_iterator(options.path)) {
    struct stat st {};
    ASSERT_EQ(stat(entry.path().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, entry.is_directory() ? 0770u : 0660u) << entry.path();
  }
}

TEST_F(StoreOpenTest, DoesNotCreateWhenNotAsked) {
  StoreOptions options = Options();
  options.create = false;
  EXPECT_EQ(Store::Open(options).status().code(), Code::kNotFound);
  EXPECT_FALSE(fs::exists(path_));
  fs::create_directory(path_);
  EXPECT_EQ(Store::Open(options).status().code(), Code::kNotFound);
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(StoreOpenTest, RefusesARelativePath) {
  StoreOptions options = Options();
  options.path = "store";
  EXPECT_EQ(Store::Open(options).status().code(), Code::kInvalid);
}

TEST_F(StoreOpenTest, RefusesAFileInPlaceOfTheFolder) {
  WriteFile(path_, "x");
  EXPECT_EQ(Store::Open(Options()).status().code(), Code::kInvalid);
}

TEST_F(StoreOpenTest, RefusesANewerFormat) {
  Fill();
  WriteFile(path_ + "/CURRENT", "lbox-store 3\nsomething else altogether\n");
  // Not even LMDB may look: what a newer format does there is its own affair.
  WriteFile(path_ + "/index.1", "not an index");
  ExpectRefused(Code::kUnsupported, "format 3", path_ + "/CURRENT");
}

TEST_F(StoreOpenTest, RefusesADamagedCurrent) {
  Fill();
  for (const char* text :
       {"", "lbox-store 1\n", "lbox-store 1\ngeneration 0\nuuid 00112233445566778899aabbccddeeff\n",
        "lbox-store 1\ngeneration 1\nuuid 0011\n", "lbox-store x\ngeneration 1\n"}) {
    WriteFile(path_ + "/CURRENT", text);
    ExpectRefused(Code::kCorruption, "damaged", path_ + "/CURRENT");
  }
}

TEST_F(StoreOpenTest, RefusesWithoutCurrent) {
  Fill();
  fs::remove(path_ + "/CURRENT");
  ExpectRefused(Code::kCorruption, "CURRENT is missing", path_);
  fs::remove(path_ + "/index.1");
  ExpectRefused(Code::kCorruption, "CURRENT is missing", path_);
  fs::remove(path_ + "/lock");
  ExpectRefused(Code::kCorruption, "CURRENT is missing", path_);
}

TEST_F(StoreOpenTest, RefusesWithoutIndex) {
  Fill();
  fs::remove(path_ + "/index.1");
  ExpectRefused(Code::kCorruption, "is missing", path_ + "/index.1");
}

TEST_F(StoreOpenTest, RefusesADamagedIndex) {
  Fill();
  const std::string index = ReadFile(path_ + "/index.1");
  WriteFile(path_ + "/index.1", "");
  ExpectRefused(Code::kCorruption, "damaged", path_ + "/index.1");
  WriteFile(path_ + "/index.1", index.substr(0, 5000));
  ExpectRefused(Code::kCorruption, "damaged", path_ + "/index.1");
  WriteFile(path_ + "/index.1", std::string(100, '\0') + index.substr(100));
  ExpectRefused(Code::kCorruption, "damaged", path_ + "/index.1");
}

TEST_F(StoreOpenTest, RefusesAnIndexCutShort) {
  {
    const auto store = MustOpen(Options());
    const Guid box = MustCreate(*store, 1);
    const auto body = Stage(*store, "Subject: x\r\n\r\n");
    std::vector<NewMessage> messages(30000);
    for (NewMessage& message : messages) {
      message.staged = body->get();
    }
    ASSERT_TRUE(store->Save(box, 1, messages, {}).ok());
  }
  const std::string index = ReadFile(path_ + "/index.1");
  ASSERT_GT(index.size(), size_t{3000000});
  WriteFile(path_ + "/index.1", index.substr(0, 1000000));
  ExpectRefused(Code::kCorruption, "damaged", path_ + "/index.1");
}

TEST_F(StoreOpenTest, RefusesAnIndexOfAnotherStore) {
  Fill();
  StoreOptions other = Options();
  other.path = folder_ / "other";
  ASSERT_NE(MustOpen(other), nullptr);
  fs::copy_file(other.path + "/index.1", path_ + "/index.1", fs::copy_options::overwrite_existing);
  ExpectRefused(Code::kCorruption, "belongs to the store", path_ + "/index.1");
}

// The rest of such a store is served, new mail taken, and nothing that might still be of use
// written over.
TEST_F(StoreOpenTest, ServesWhatAMissingOrShortPackLeaves) {
  Fill();
  const std::string pack = path_ + "/p/00000001";
  const std::string bytes = ReadFile(pack);
  for (const bool missing : {false, true}) {
    if (missing) {
      fs::remove(pack);
    } else {
      fs::resize_file(pack, UsedBytes(bytes) - 1);
    }
    const auto store = MustOpen(Options());
    ASSERT_NE(store, nullptr);
    ASSERT_EQ(store->Damage().size(), 1u);
    EXPECT_NE(store->Damage()[0].find(missing ? "is missing" : "the index says"),
              std::string::npos);
    EXPECT_EQ(LoadText(*store, box_, 1).ok(), !missing);
    EXPECT_EQ(LoadText(*store, box_, 1).status().code(), missing ? Code::kCorruption : Code::kOk);
    EXPECT_EQ(LoadText(*store, box_, 21).status().code(), Code::kCorruption);
    WriteFile(path_ + "/p/00000002", "from a later time");
    const auto uid = SaveText(*store, box_, "Subject: new\r\n\r\n");
    ASSERT_TRUE(uid.ok()) << uid.status().message();
    EXPECT_TRUE(LoadText(*store, box_, *uid).ok());
    EXPECT_EQ(ReadFile(path_ + "/p/00000002"), "from a later time");
    EXPECT_FALSE(store->WantsMaintenance());
    EXPECT_FALSE(store->Maintain(std::chrono::seconds(1)).value());
    EXPECT_EQ(store->Maintain(std::chrono::seconds(1), true).status().code(), Code::kCorruption);
    EXPECT_EQ(ReadFile(path_ + "/p/00000002"), "from a later time");
  }
  fs::remove_all(path_ + "/p");
  ExpectRefused(Code::kCorruption, "is missing", path_ + "/p");
}

TEST_F(StoreOpenTest, RefusesWithoutLargeBodies) {
  Fill();
  fs::remove_all(path_ + "/l");
  ExpectRefused(Code::kCorruption, "is missing", path_ + "/l");
}

TEST_F(StoreOpenTest, AMissingLargeBodyIsThatMessagesOwnError) {
  Fill();
  fs::remove(path_ + "/l/" + Names(path_ + "/l")[0]);
  const auto store = MustOpen(Options());
  EXPECT_EQ(LoadText(*store, box_, 20).value(), Noise(3000, 20));
  const auto text = LoadText(*store, box_, 21);
  EXPECT_EQ(text.status().code(), Code::kCorruption);
  EXPECT_NE(text.status().message().find(ToHex(box_) + " UID 21"), std::string::npos)
      << text.status().message();
}

TEST_F(StoreOpenTest, WhatIsOnlyALeftoverIsMadeAgain) {
  Fill();
  fs::remove_all(path_ + "/tmp");
  fs::remove(path_ + "/lock");
  fs::remove(path_ + "/index.1-lock");
  WriteFile(path_ + "/CREATING", "");
  const auto store = MustOpen(Options());
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(fs::exists(path_ + "/tmp"));
  EXPECT_FALSE(fs::exists(path_ + "/CREATING"));
  EXPECT_TRUE(LoadText(*store, box_, 21).ok());
}

TEST_F(StoreOpenTest, RefusesAnotherOwnersStore) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root to give a store away";
  }
  Fill();
  ASSERT_EQ(chown(path_.c_str(), 4242, 4242), 0);
  ExpectRefused(Code::kPermission, "belongs to uid 4242, this process runs as uid 0", path_);
  ASSERT_EQ(chown(path_.c_str(), 0, 0), 0);
  ASSERT_EQ(chown((path_ + "/CURRENT").c_str(), 4242, 4242), 0);
  ExpectRefused(Code::kPermission, "belongs to uid 4242", path_ + "/CURRENT");
}

TEST_F(StoreOpenTest, RefusesWithoutPermission) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root to change to another uid";
  }
  Fill();
  ASSERT_EQ(chmod(folder_.path().c_str(), 0711), 0);
  for (const auto& entry : fs::recursive_directory_iterator(path_)) {
    ASSERT_EQ(lchown(entry.path().c_str(), 4242, 4242), 0);
  }
  ASSERT_EQ(chown(path_.c_str(), 4242, 4242), 0);
  ASSERT_EQ(chmod((path_ + "/lock").c_str(), 0), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setegid(4242) != 0 || seteuid(4242) != 0) {
      _exit(3);
    }
    const auto store = Store::Open(Options());
    const bool as_expected = store.status().code() == Code::kPermission &&
                             store.status().message().find("uid 4242") != std::string::npos;
    _exit(as_expected ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(StoreOpenTest, RefusesRemoteFileSystems) {
  for (const uint64_t type : {0x6969u, 0x517bu, 0xff534d42u, 0xfe534d42u, 0x00c36400u, 0x01021997u,
                              0x5346414fu, 0x0bd00bd0u, 0x7461636fu}) {
    EXPECT_NE(RefusedFileSystem(type, true), nullptr) << std::hex << type;
  }
  EXPECT_STREQ(RefusedFileSystem(0x65735546, false), "FUSE");
  EXPECT_EQ(RefusedFileSystem(0x65735546, true), nullptr);
  for (const uint64_t type :
       {0xef53u, 0x58465342u, 0x9123683eu, 0x01021994u, 0x2fc12fc1u, 0x794c7630u, 0xf2f52010u}) {
    EXPECT_EQ(RefusedFileSystem(type, false), nullptr) << std::hex << type;
  }
}

TEST_F(StoreOpenTest, ForkedChildIsTurnedAway) {
  Fill();
  const auto store = MustOpen(Options());
  const pid_t child = fork();
  if (child == 0) {
    const auto info = store->GetMailbox(box_);
    const Change change = Expunge(1, 1);
    const auto result = store->Apply(box_, {&change, 1});
    bool right = info.status().code() == Code::kUnavailable &&
                 result.status().code() == Code::kUnavailable &&
                 info.status().message().find("fork") != std::string::npos;
    // Its own opening works, beside the one it inherited.
    auto own = Store::Open(Options());
    right = right && own.ok() && own.value() != store && own.value()->GetMailbox(box_).ok();
    own = Status(Code::kAborted, "closed");
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(store->GetMailbox(box_)->messages, 21u);
}

TEST_F(StoreOpenTest, IdleStoreServesTheNextOpening) {
  Fill();
  auto store = MustOpen(Options());
  const std::weak_ptr<Store> kept = store;
  Store::KeepIdle(std::exchange(store, nullptr));
  ASSERT_FALSE(kept.expired());
  store = MustOpen(Options());
  EXPECT_EQ(store, kept.lock());
  store.reset();
  EXPECT_TRUE(kept.expired()) << "kept once for each time that it is asked for";
  store = MustOpen(Options());
  const std::weak_ptr<Store> again = store;
  Store::KeepIdle(std::exchange(store, nullptr));
  Store::CloseIdle();
  EXPECT_TRUE(again.expired());
}

TEST_F(StoreOpenTest, IdleStoreIsClosedForAnyOther) {
  Fill();
  StoreOptions other = Options();
  other.sync = !other.sync;
  StoreOptions elsewhere = Options();
  elsewhere.path = folder_ / "elsewhere";
  StoreOptions missing = Options();
  missing.path = folder_ / "missing";
  missing.create = false;
  for (const StoreOptions& options : {other, elsewhere, missing}) {
    auto store = MustOpen(Options());
    const std::weak_ptr<Store> kept = store;
    Store::KeepIdle(std::exchange(store, nullptr));
    EXPECT_EQ(Store::Open(options).ok(), options.create);
    EXPECT_TRUE(kept.expired());
  }
}

TEST_F(StoreOpenTest, IdleStoreIsNotGivenForOneThatTookItsPlace) {
  Fill();
  auto store = MustOpen(Options());
  const std::weak_ptr<Store> kept = store;
  Store::KeepIdle(std::exchange(store, nullptr));
  fs::rename(path_, folder_ / "moved");
  store = MustOpen(Options());
  EXPECT_TRUE(kept.expired());
  EXPECT_EQ(store->GetMailbox(box_).status().code(), Code::kNotFound) << "a new one";
}

TEST_F(StoreOpenTest, IdleStoreIsNotGivenToAnotherUid) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root to change to another uid";
  }
  Fill();
  auto store = MustOpen(Options());
  const std::weak_ptr<Store> kept = store;
  Store::KeepIdle(std::exchange(store, nullptr));
  ASSERT_EQ(seteuid(4242), 0);
  const auto opened = Store::Open(Options());
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_TRUE(kept.expired());
  EXPECT_EQ(opened.status().code(), Code::kPermission) << opened.status().message();
}

TEST_F(StoreOpenTest, CreationThatFailsAnywhereCanBeRepeated) {
  int failures = 0;
  for (uint64_t n = 0;; n++) {
    SCOPED_TRACE("failing call " + std::to_string(n));
    const TempFolder folder;
    FaultEnv env;
    StoreOptions options = OptionsFor(folder / "store");
    options.sync = true;
    options.env = &env;
    env.FailAfter(n);
    const bool ok = Store::Open(options).ok();
    const bool failed = env.failed();
    env.before = {};
    options.sync = false;
    const auto store = MustOpen(options);
    ASSERT_NE(store, nullptr);
    ASSERT_TRUE(SaveText(*store, MustCreate(*store, 1), "Subject: x\r\n\r\n").ok());
    ExpectSound(*store);
    failures += ok ? 0 : 1;
    if (!failed) {
      break;
    }
  }
  EXPECT_GT(failures, 15);
}

TEST_F(StoreOpenTest, ManyProcessesCreateOneStore) {
  std::vector<pid_t> children;
  for (uint32_t i = 0; i < 8; i++) {
    const pid_t child = fork();
    if (child == 0) {
      const auto store = Store::Open(Options());
      bool right = store.ok();
      for (int n = 0; right && n < 10; n++) {
        MailboxCreate create;
        create.guid = MakeGuid(i * 100 + static_cast<uint64_t>(n) + 1);
        create.uid_validity = 1;
        right = (*store)->CreateMailbox(create).ok();
      }
      if (!right) {
        fprintf(stderr, "%s\n", store.status().message().c_str());
      }
      _exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const auto store = MustOpen(Options());
  EXPECT_EQ(store->ListMailboxes()->size(), 80u);
  ExpectSound(*store);
}

}  // namespace
}  // namespace lbox

// What bodies may cost: memory, reading, and what happens when the disk says no.
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <new>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/unit/body_support.h"

namespace lbox {
namespace {

// The real file system, but counting what is read and failing one call that creates, writes or
// flushes.
class CountingEnv final : public Env {
 public:
  int fail_at = 0;  // the how-many-th call fails, from 1; 0: none
  int calls = 0;    // that may fail
  uint64_t bytes_read = 0;
  int files_read = 0;  // opened for reading

  Result<std::unique_ptr<File>> OpenRead(const std::string& path) override {
    files_read++;
    return Wrap(real_.OpenRead(path));
  }
  Result<std::unique_ptr<File>> OpenReadWrite(const std::string& path) override {
    return Wrap(real_.OpenReadWrite(path));
  }
  Result<std::unique_ptr<File>> Create(const std::string& path, bool exclusive, uint32_t mode,
                                       int64_t gid) override {
    if (Status status = MayFail(); !status.ok()) {
      return status;
    }
    return Wrap(real_.Create(path, exclusive, mode, gid));
  }
  Status MakeDirectory(const std::string& path, uint32_t mode, int64_t gid) override {
    return real_.MakeDirectory(path, mode, gid);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return real_.Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return real_.Link(from, to);
  }
  Status Unlink(const std::string& path) override { return real_.Unlink(path); }
  Status SyncDirectory(const std::string& path) override { return real_.SyncDirectory(path); }
  Result<FileInfo> Stat(const std::string& path) override { return real_.Stat(path); }
  Status List(const std::string& path,
              const std::function<void(const std::string& name)>& visit) override {
    return real_.List(path, visit);
  }

 private:
  class CountingFile final : public File {
   public:
    CountingFile(CountingEnv& env, std::unique_ptr<File> real)
        : env_(env), real_(std::move(real)) {}
    Result<size_t> ReadAt(uint64_t offset, void* data, size_t size) override {
      auto got = real_->ReadAt(offset, data, size);
      env_.bytes_read += got.ok() ? got.value() : 0;
      return got;
    }
    Status WriteAt(uint64_t offset, const void* data, size_t size) override {
      Status status = env_.MayFail();
      return status.ok() ? real_->WriteAt(offset, data, size) : status;
    }
    Status Sync() override {
      Status status = env_.MayFail();
      return status.ok() ? real_->Sync() : status;
    }
    Result<uint64_t> Size() override { return real_->Size(); }
    int descriptor() const override { return real_->descriptor(); }

   private:
    CountingEnv& env_;
    const std::unique_ptr<File> real_;
  };

  Status MayFail() { return ++calls == fail_at ? Status(Code::kNoSpace, "full") : Status(); }
  Result<std::unique_ptr<File>> Wrap(Result<std::unique_ptr<File>> file) {
    if (!file.ok()) {
      return file;
    }
    return std::unique_ptr<File>(std::make_unique<CountingFile>(*this, std::move(file.value())));
  }

  Env& real_ = *Env::Default();
};

class BodyLimitsTest : public testing::Test {
 protected:
  std::shared_ptr<StagingArea> Area(Env* env, size_t memory_bytes = 4 * 1024 * 1024,
                                    bool sync = true) {
    return StagingArea::Create(
        {.env = env, .directory = tmp_.path(), .sync = sync, .memory_bytes = memory_bytes});
  }
  TempDir dir_;
  TempDir tmp_;
};

TEST_F(BodyLimitsTest, AFullDiskIsToldAndLeavesNothing) {
  const struct {
    const char* name;
    std::string message;
    size_t memory_bytes;
  } cases[] = {
      {"large", "A: b\n\n" + Incompressible(500000), 1000000},
      {"small but beyond the memory for small ones", "A: b\n\n" + Compressible(5000), 0},
  };
  for (const auto& c : cases) {
    int calls = 0;
    for (int n = 1;; n++) {
      CountingEnv env;
      env.fail_at = n;
      auto staged = Stage(Area(&env, c.memory_bytes), c.message, {.step = 10000});
      if (staged.ok()) {
        break;
      }
      calls++;
      EXPECT_EQ(staged.status().code(), Code::kNoSpace) << c.name << " call " << n;
      EXPECT_EQ(FilesIn(tmp_.path()), 0u) << c.name << " call " << n;
    }
    EXPECT_GE(calls, 2) << c.name;
    EXPECT_EQ(FilesIn(tmp_.path()), 0u) << c.name;
  }
}

TEST_F(BodyLimitsTest, FlushesALargeBodyOnceUnlessToldNotTo) {
  const std::string message = "A: b\n\n" + Incompressible(500000);
  for (const bool sync : {true, false}) {
    CountingEnv env;
    const auto area = Area(&env, 0x400000, sync);
    auto staged = Stage(area, message);
    ASSERT_TRUE(staged.ok());
    const int before = env.calls;
    ASSERT_TRUE((*staged)->Sync().ok());
    ASSERT_TRUE((*staged)->Sync().ok());
    EXPECT_EQ(env.calls, before + (sync ? 1 : 0));
  }
}

// More than some do not wait for their flush: each holds a descriptor.
TEST_F(BodyLimitsTest, ManyLargeBodiesHoldFewDescriptors) {
  const auto descriptors = [] {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                             std::filesystem::directory_iterator()));
  };
  const size_t before = descriptors();
  const auto area = Area(Env::Default());
  const std::string message = "A: b\n\n" + Incompressible(150000);
  std::vector<std::unique_ptr<StagedBodyImpl>> all;
  for (int i = 0; i < 100; i++) {
    auto staged = Stage(area, message);
    ASSERT_TRUE(staged.ok());
    all.push_back(std::move(staged.value()));
  }
  EXPECT_LE(descriptors(), before + 64);
  EXPECT_GE(descriptors(), before + 10);
  for (const auto& staged : all) {
    ASSERT_TRUE(staged->Sync().ok());
  }
  EXPECT_EQ(descriptors(), before);
}

TEST_F(BodyLimitsTest, SmallMessagesTouchNoFileUntilTheyAreMany) {
  CountingEnv env;
  const auto area = Area(&env, 100000);
  std::vector<std::unique_ptr<StagedBodyImpl>> all;
  for (int i = 0; i < 10; i++) {
    auto staged = Stage(area, "A: b\n\n" + Incompressible(9000));
    ASSERT_TRUE(staged.ok());
    all.push_back(std::move(staged.value()));
  }
  EXPECT_EQ(env.calls, 0);
  for (int i = 0; i < 10; i++) {
    auto staged = Stage(area, "A: b\n\n" + Incompressible(9000, 2));
    ASSERT_TRUE(staged.ok());
    all.push_back(std::move(staged.value()));
  }
  EXPECT_GT(env.calls, 0);
  EXPECT_EQ(FilesIn(tmp_.path()), 0u);
  for (int i = 0; i < 20; i++) {
    const auto reader = all[static_cast<size_t>(i)]->OpenReader();
    ASSERT_TRUE(reader.ok());
    EXPECT_TRUE(ReadAll(**reader).value() == "A: b\n\n" + Incompressible(9000, i < 10 ? 1 : 2));
  }
}

TEST_F(BodyLimitsTest, ReadingForwardReadsALargeFileTwice) {
  CountingEnv env;
  const std::string header = "A: b\n\n";
  const std::string message = header + Incompressible(5000000);
  auto staged = Stage(Area(&env), message);
  ASSERT_TRUE(staged.ok());
  const SavedBody saved = SaveByHand(dir_, **staged);
  const auto reader = OpenSaved(saved, &env);
  char buffer[8192];
  env.bytes_read = 0;
  env.files_read = 0;
  ASSERT_TRUE(reader->Read(0, buffer, sizeof(buffer)).ok());
  EXPECT_EQ(env.files_read, 0);
  // All in small pieces: once to verify, once to decompress.
  ASSERT_TRUE(ReadAll(*reader, sizeof(buffer)).value() == message);
  EXPECT_EQ(env.files_read, 1);
  EXPECT_EQ(env.bytes_read, kLargeHeaderBytes + uint64_t{2} * saved.record.body_stored);
  // Skipping forward, once more from the start after going back, in any case without verifying
  // again.
  for (size_t at = header.size(); at < message.size(); at += 500000) {
    ASSERT_TRUE(reader->Read(at, buffer, 100).ok());
  }
  EXPECT_LE(env.bytes_read, kLargeHeaderBytes + uint64_t{3} * saved.record.body_stored);
  EXPECT_EQ(env.files_read, 1);
}

TEST_F(BodyLimitsTest, ReadsASmallBodyOnce) {
  CountingEnv env;
  const std::string message = "A: b\n\n" + Compressible(200000);
  auto staged = Stage(Area(&env), message);
  ASSERT_TRUE(staged.ok());
  const SavedBody saved = SaveByHand(dir_, **staged);
  const auto reader = OpenSaved(saved, &env);
  env.bytes_read = 0;
  char buffer[1000];
  for (size_t at = 0; at < message.size(); at += 40000) {  // forward ...
    ASSERT_TRUE(reader->Read(at, buffer, sizeof(buffer)).ok());
  }
  for (size_t at = message.size(); at > 40000; at -= 40000) {  // ... and back
    ASSERT_TRUE(reader->Read(at - 1, buffer, sizeof(buffer)).ok());
  }
  EXPECT_EQ(env.bytes_read, saved.record.body_stored);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

uint64_t AddressSpace() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  file >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Whether `work` is done with at most `bytes` of address space more than there is now.
bool FitsInto(uint64_t bytes, const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{AddressSpace() + bytes, AddressSpace() + bytes};
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    try {
      _exit(setrlimit(RLIMIT_AS, &limit) == 0 && work() ? 0 : 1);
    } catch (const std::bad_alloc&) {
      _exit(1);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(BodyLimitsTest, MemoryIsBounded) {
  if (kSanitized) {
    GTEST_SKIP() << "the sanitizer's own memory cannot be limited";
  }
  const auto large = [&](size_t size, int level) {
    const auto writer = NewBodyWriter(
        {.area = Area(Env::Default()), .compression_level = level, .keep_alive = nullptr});
    const std::string piece = Incompressible(50000);
    for (size_t at = 0; at < size; at += piece.size()) {
      if (!writer->Append(piece.data(), piece.size()).ok()) {
        return false;
      }
    }
    auto staged = writer->Finish(size, size);
    if (!staged.ok()) {
      return false;
    }
    const auto reader = static_cast<StagedBodyImpl&>(**staged).OpenReader();
    std::string got(8192, '\0');
    for (uint64_t at = 0; at < size;) {
      const auto n = (*reader)->Read(at, got.data(), got.size());
      if (!n.ok() || n.value() == 0) {
        return false;
      }
      at += n.value();
    }
    return true;
  };
  const auto many = [&](size_t memory_bytes) {
    const auto area = Area(Env::Default(), memory_bytes);
    std::vector<std::unique_ptr<StagedBodyImpl>> all;
    const std::string message = "A: b\n\n" + Incompressible(100000);
    for (int i = 0; i < 400; i++) {
      auto staged = Stage(area, message);
      if (!staged.ok()) {
        return false;
      }
      all.push_back(std::move(staged.value()));
    }
    return all.back()->Frames().ok();
  };
  constexpr uint64_t kMiB = 1024 * 1024;
  EXPECT_TRUE(FitsInto(10 * kMiB, [&] { return large(20000000, 3); }));
  EXPECT_TRUE(FitsInto(14 * kMiB, [&] { return large(2000000, 19); }));
  EXPECT_TRUE(FitsInto(14 * kMiB, [&] { return many(4 * kMiB); }));
  // The measure bites: all of them in memory are 40 MB.
  EXPECT_FALSE(FitsInto(14 * kMiB, [&] { return many(SIZE_MAX); }));
}

}  // namespace
}  // namespace lbox

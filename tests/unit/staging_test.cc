#include "storage/staging.h"

#include <gtest/gtest.h>

#include "storage/body.h"
#include "storage/pack_record.h"
#include "tests/unit/fault_env.h"
#include "tests/unit/test_support.h"

namespace lbox {
namespace {

class StagingTest : public ::testing::Test {
 protected:
  std::shared_ptr<StagingArea> Area(size_t memory_bytes = 1000) {
    return StagingArea::Create(
        {.env = Env::Default(), .directory = dir_.path(), .memory_bytes = memory_bytes});
  }
  static std::string Read(const Parked& parked) {
    std::string bytes(parked.size(), '\0');
    EXPECT_TRUE(parked.Read(0, bytes.data(), bytes.size()).ok());
    return bytes;
  }

  TempDir dir_;
};

TEST_F(StagingTest, ParksInMemoryThenInANamelessFile) {
  auto area = Area();
  std::vector<std::string> bytes;
  std::vector<std::unique_ptr<Parked>> parked;
  for (size_t i = 0; i < 20; i++) {
    bytes.push_back(Incompressible(300 + i, i));
    auto one = area->Park(bytes.back());
    ASSERT_TRUE(one.ok()) << one.status().message();
    parked.push_back(std::move(one.value()));
  }
  area.reset();  // what is parked keeps it
  EXPECT_EQ(FilesIn(dir_.path()), 0u);
  for (size_t i = 0; i < parked.size(); i++) {
    EXPECT_EQ(Read(*parked[i]), bytes[i]);
    std::string part(100, '\0');
    ASSERT_TRUE(parked[i]->Read(50, part.data(), part.size()).ok());
    EXPECT_EQ(part, bytes[i].substr(50, 100));
  }
}

TEST_F(StagingTest, OnlyTheOverflowNeedsTheFolder) {
  const auto area = StagingArea::Create(
      {.env = Env::Default(), .directory = dir_ / "missing", .memory_bytes = 1000});
  auto first = area->Park(std::string(600, 'a'));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(area->Park(std::string(600, 'b')).status().code(), Code::kNotFound);
  EXPECT_TRUE(area->Park(std::string(400, 'c')).ok());
  // Memory is free again once nobody has it.
  first.value().reset();
  EXPECT_TRUE(area->Park(std::string(600, 'd')).ok());
}

TEST_F(StagingTest, SpoolStaysInMemoryUpToTheLimit) {
  BodySpool spool(Area());
  const std::string bytes = Incompressible(kLargeBodyBytes);
  ASSERT_TRUE(spool.Append(bytes.data(), 1000).ok());
  ASSERT_TRUE(spool.Append(bytes.data() + 1000, bytes.size() - 1000).ok());
  ASSERT_TRUE(spool.Finish().ok());
  EXPECT_FALSE(spool.large());
  EXPECT_EQ(FilesIn(dir_.path()), 0u);
  EXPECT_EQ(spool.stored(), bytes.size());
  EXPECT_EQ(spool.hash(), Hash64(Bytes(bytes)));
  EXPECT_EQ(spool.bytes(), bytes);
}

TEST_F(StagingTest, SpoolWritesALargeBodyAsItWillBeInL) {
  for (const size_t size : {kLargeBodyBytes + 1, kLargeBodyBytes + 5000, size_t{3000000}}) {
    std::string path;
    {
      BodySpool spool(Area());
      const std::string bytes = Incompressible(size);
      for (size_t at = 0; at < size; at += 7000) {
        ASSERT_TRUE(spool.Append(bytes.data() + at, std::min<size_t>(7000, size - at)).ok());
      }
      ASSERT_TRUE(spool.large());
      path = spool.path();
      EXPECT_EQ(DecodeLargeHeader(Bytes(ReadWholeFile(path))).status().code(), Code::kCorruption)
          << "unfinished";
      ASSERT_TRUE(spool.Finish().ok());
      const std::string file = ReadWholeFile(path);
      const auto header = DecodeLargeHeader(Bytes(file));
      ASSERT_TRUE(header.ok()) << header.status().message();
      EXPECT_NE(header->large_id, 0u);
      EXPECT_EQ(header->large_id, spool.large_id());
      EXPECT_EQ(header->body_stored, size);
      EXPECT_EQ(header->body_hash, Hash64(Bytes(bytes)));
      EXPECT_TRUE(file.substr(kLargeHeaderBytes) == bytes);
    }
    EXPECT_EQ(FilesIn(dir_.path()), 0u) << "unlinked with its owner";
  }
}

// So that a large batch keeps few descriptors, and each body learns of its own flush.
TEST_F(StagingTest, ManyLargeBodiesAreFlushedTogether) {
  testing::FaultEnv env;
  const auto area = StagingArea::Create({.env = &env, .directory = dir_.path()});
  const std::string bytes = Incompressible(kLargeBodyBytes + 1);
  std::vector<std::unique_ptr<BodySpool>> spools;
  const auto add = [&] {
    spools.push_back(std::make_unique<BodySpool>(area));
    ASSERT_TRUE(spools.back()->Append(bytes.data(), bytes.size()).ok());
    ASSERT_TRUE(spools.back()->Finish().ok());
  };
  add();
  env.before = [failing = spools[0]->path()](const std::string& call, const std::string& path) {
    return call == "sync" && path == failing ? Status(Code::kIo, "lost") : Status();
  };
  while (env.syncs == 0) {
    ASSERT_LE(spools.size(), 100u);
    add();
  }
  const uint64_t together = spools.size();
  EXPECT_EQ(env.syncs, together);
  add();
  EXPECT_EQ(env.syncs, together);
  env.before = {};
  EXPECT_EQ(spools[0]->Sync().code(), Code::kIo);
  EXPECT_EQ(spools[0]->Sync().code(), Code::kIo) << "a second flush would pass, and prove nothing";
  for (size_t i = 1; i < spools.size(); i++) {
    EXPECT_TRUE(spools[i]->Sync().ok()) << i;
  }
  EXPECT_EQ(env.syncs, together + 1);
}

TEST_F(StagingTest, DisownedFilesStay) {
  {
    BodySpool spool(Area());
    const std::string bytes = Incompressible(kLargeBodyBytes + 1);
    ASSERT_TRUE(spool.Append(bytes.data(), bytes.size()).ok());
    ASSERT_TRUE(spool.Finish().ok());
    ASSERT_TRUE(Env::Default()->Rename(spool.path(), dir_ / "saved").ok());
    spool.Disown(dir_ / "saved");
  }
  EXPECT_EQ(FilesIn(dir_.path()), 1u);
}

}  // namespace
}  // namespace lbox

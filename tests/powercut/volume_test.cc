#include "tests/powercut/volume.h"

#include <cerrno>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace lbox::powercut {
namespace {

constexpr mode_t kFile = S_IFREG | 0600;
constexpr mode_t kDirectory = S_IFDIR | 0700;

class VolumeTest : public ::testing::Test {
 protected:
  NodeId Make(const std::string& name, mode_t mode = kFile, NodeId directory = kRoot) {
    NodeId made = kNone;
    EXPECT_EQ(volume_.Make(directory, name, mode, 1, 1, &made), 0);
    return made;
  }

  // A file whose name and bytes are durable.
  NodeId MakeDurable(const std::string& name, const std::string& bytes) {
    const NodeId made = Make(name);
    volume_.Write(made, 0, bytes, false);
    volume_.Flush(made);
    volume_.Flush(kRoot);
    return made;
  }

  bool Exists(const std::string& name, NodeId directory = kRoot) {
    NodeId found = kNone;
    return volume_.Lookup(directory, name, &found) == 0;
  }

  std::string Bytes(const std::string& name) {
    NodeId found = kNone;
    return volume_.Lookup(kRoot, name, &found) == 0 ? volume_.Find(found)->bytes : "none";
  }

  Volume volume_{1, 1};
};

TEST_F(VolumeTest, WhatWasFlushedIsThereAfterEveryCut) {
  for (const CutKind kind : kAllCuts) {
    for (uint64_t seed = 0; seed < 50; seed++) {
      const std::string name = std::string(CutName(kind)) + std::to_string(seed);
      MakeDurable(name, "bytes");
      Make("other");
      volume_.Cut(kind, seed);
      EXPECT_EQ(Bytes(name), "bytes") << name;
      if (Exists("other")) {
        ASSERT_EQ(volume_.Remove(kRoot, "other", false), 0);
      }
    }
  }
}

TEST_F(VolumeTest, WhatWasNotFlushedIsGoneWhenAllIsDropped) {
  const NodeId file = MakeDurable("kept", "old");
  volume_.Write(file, 0, "new and longer", false);
  Make("lost");
  EXPECT_EQ(Bytes("kept"), "new and longer");
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_EQ(Bytes("kept"), "old");
  EXPECT_FALSE(Exists("lost"));
  EXPECT_EQ(volume_.pending(), 0U);
}

TEST_F(VolumeTest, BytesWithoutNameAndNameWithoutBytes) {
  const NodeId bytes_only = Make("bytes");
  volume_.Write(bytes_only, 0, "x", false);
  const NodeId name_only = Make("name");
  volume_.Flush(kRoot);
  volume_.Write(name_only, 0, "x", false);
  const NodeId unnamed = Make("unnamed");
  volume_.Write(unnamed, 0, "x", false);
  volume_.Flush(unnamed);
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_EQ(Bytes("bytes"), "");
  EXPECT_EQ(Bytes("name"), "");
  EXPECT_FALSE(Exists("unnamed"));
}

TEST_F(VolumeTest, ALyingDiskLosesWhatWasFlushed) {
  volume_.set_lying(true);
  const NodeId file = MakeDurable("file", "bytes");
  volume_.Write(file, 0, "through", true);
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_FALSE(Exists("file"));
}

TEST_F(VolumeTest, WrittenThrough) {
  const NodeId file = MakeDurable("file", "0123456789");
  volume_.Write(file, 0, "lost", false);
  volume_.Write(file, 2, "THROUGH", true);
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_EQ(Bytes("file"), "01THROUGH9");

  // Kept, what came before does not undo it.
  volume_.Write(file, 0, "----------", false);
  volume_.Write(file, 2, "AGAIN", true);
  volume_.Cut(CutKind::kTorn, 0);
  EXPECT_EQ(Bytes("file"), "--AGAINGH9");  // of the last write that was not through, half
}

TEST_F(VolumeTest, AFlushIsOfOneFileAndOneDirectory) {
  const NodeId a = MakeDurable("a", "1");
  const NodeId b = MakeDurable("b", "1");
  volume_.Write(a, 0, "2", false);
  volume_.Write(b, 0, "2", false);
  volume_.Flush(a);
  const NodeId folder = Make("folder", kDirectory);
  Make("inside", kFile, folder);
  volume_.Flush(folder);  // but not its own name
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_EQ(Bytes("a"), "2");
  EXPECT_EQ(Bytes("b"), "1");
  EXPECT_FALSE(Exists("folder"));
}

TEST_F(VolumeTest, RenameIsWholeAndBelongsToItsTarget) {
  const NodeId file = MakeDurable("old", "bytes");
  const NodeId folder = Make("folder", kDirectory);
  volume_.Flush(kRoot);
  ASSERT_EQ(volume_.Rename(kRoot, "old", folder, "new", true), 0);
  volume_.Flush(kRoot);
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_EQ(Bytes("old"), "bytes");
  EXPECT_FALSE(Exists("new", folder));

  ASSERT_EQ(volume_.Rename(kRoot, "old", folder, "new", true), 0);
  volume_.Flush(folder);
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_FALSE(Exists("old"));
  EXPECT_TRUE(Exists("new", folder));
  EXPECT_EQ(volume_.Find(file)->links, 1U);
}

TEST_F(VolumeTest, AReplacedFileIsBackUntilTheFlush) {
  MakeDurable("file", "old");
  const NodeId other = Make("other");
  volume_.Write(other, 0, "new", false);
  volume_.Flush(other);
  ASSERT_EQ(volume_.Rename(kRoot, "other", kRoot, "file", true), 0);
  EXPECT_EQ(Bytes("file"), "new");
  volume_.Cut(CutKind::kDropped, 0);
  EXPECT_EQ(Bytes("file"), "old");
  EXPECT_FALSE(Exists("other"));
}

TEST_F(VolumeTest, ADirectoryHasOneNameAfterAnyCut) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    Volume volume(1, 1);
    NodeId a = kNone;
    NodeId b = kNone;
    NodeId moving = kNone;
    ASSERT_EQ(volume.Make(kRoot, "a", kDirectory, 1, 1, &a), 0);
    ASSERT_EQ(volume.Make(kRoot, "b", kDirectory, 1, 1, &b), 0);
    ASSERT_EQ(volume.Make(a, "m", kDirectory, 1, 1, &moving), 0);
    volume.Flush(kRoot);
    volume.Flush(a);
    ASSERT_EQ(volume.Rename(a, "m", b, "n", true), 0);
    ASSERT_EQ(volume.Rename(b, "n", kRoot, "o", true), 0);
    volume.Flush(kRoot);
    volume.Cut(CutKind::kScattered, seed);
    NodeId found = kNone;
    EXPECT_EQ((volume.Lookup(a, "m", &found) == 0) + (volume.Lookup(b, "n", &found) == 0) +
                  (volume.Lookup(kRoot, "o", &found) == 0),
              1)
        << seed;
    EXPECT_EQ(volume.Find(moving)->links, 2U);
  }
}

TEST_F(VolumeTest, TheKindsDiffer) {
  const std::string page(4096, 'p');
  for (const CutKind kind : kAllCuts) {
    size_t least = 1000, most = 0, half = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
      Volume volume(1, 1);
      for (int i = 0; i < 8; i++) {
        NodeId made = kNone;
        ASSERT_EQ(volume.Make(kRoot, std::to_string(i), kFile, 1, 1, &made), 0);
        volume.Write(made, 0, page, false);
      }
      volume.Cut(kind, seed);
      const Names names = volume.Find(kRoot)->names;
      size_t whole = 0;
      for (const auto& [name, id] : names) {
        whole += volume.Find(id)->bytes == page ? 1 : 0;
        half += volume.Find(id)->bytes.size() == page.size() / 2 ? 1 : 0;
      }
      least = std::min(least, names.size() + whole);
      most = std::max(most, names.size() + whole);
    }
    const bool random = kind == CutKind::kPrefix || kind == CutKind::kScattered;
    EXPECT_EQ(least != most, random) << CutName(kind);
    EXPECT_EQ(half > 0, kind == CutKind::kTorn) << CutName(kind);
    if (!random) {
      EXPECT_EQ(most, kind == CutKind::kDropped ? 0U : kind == CutKind::kTorn ? 15U : 8U);
    }
  }
}

TEST_F(VolumeTest, RefusesAsADiskDoes) {
  MakeDurable("file", "");
  const NodeId folder = Make("folder", kDirectory);
  Make("inside", kFile, folder);
  NodeId made = kNone;
  EXPECT_EQ(volume_.Make(kRoot, "file", kFile, 1, 1, &made), EEXIST);
  EXPECT_EQ(volume_.Remove(kRoot, "none", false), ENOENT);
  EXPECT_EQ(volume_.Remove(kRoot, "folder", false), EISDIR);
  EXPECT_EQ(volume_.Remove(kRoot, "file", true), ENOTDIR);
  EXPECT_EQ(volume_.Remove(kRoot, "folder", true), ENOTEMPTY);
  EXPECT_EQ(volume_.Rename(kRoot, "file", kRoot, "folder", true), EISDIR);
  EXPECT_EQ(volume_.Rename(kRoot, "folder", kRoot, "file", true), ENOTDIR);
  EXPECT_EQ(volume_.Rename(kRoot, "folder", folder, "below", true), EINVAL);
  EXPECT_EQ(volume_.Rename(kRoot, "file", folder, "inside", false), EEXIST);
  EXPECT_EQ(volume_.Link(folder, kRoot, "again"), EPERM);
}

}  // namespace
}  // namespace lbox::powercut

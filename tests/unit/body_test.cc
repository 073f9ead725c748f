// Bodies through writer and reader: whatever goes in comes out, from any offset, wherever it was
// stored.
#include <memory>

#include <gtest/gtest.h>

#include "tests/unit/body_support.h"

namespace lbox {
namespace {

class BodyTest : public testing::Test {
 protected:
  // Reads at many offsets, forward, backward and across the cut.
  static void CheckAnyOffset(BodyReader& reader, const std::string& message, uint64_t seed) {
    Random random(seed);
    const size_t end = message.size();
    for (int i = 0; i < 60; i++) {
      const size_t offset = random.Below(end + 3);
      const size_t size = i % 3 == 0 ? random.Below(20) : random.Below(70000);
      const auto got = ReadSome(reader, offset, size);
      ASSERT_TRUE(got.ok()) << got.status().message();
      ASSERT_TRUE(got.value() == (offset < end ? message.substr(offset, size) : ""))
          << offset << " + " << size;
    }
  }

  static void CheckReader(BodyReader& reader, const std::string& message, bool opaque) {
    EXPECT_EQ(reader.size(), message.size());
    EXPECT_EQ(reader.opaque(), opaque);
    const Status verified = reader.Verify();
    EXPECT_TRUE(verified.ok()) << verified.message();
    for (const size_t piece : {8192u, 1000000u}) {
      const auto all = ReadAll(reader, piece);
      ASSERT_TRUE(all.ok()) << all.status().message();
      ASSERT_TRUE(all.value() == message);
    }
    CheckAnyOffset(reader, message, message.size());
  }

  TempDir dir_;
  TempDir tmp_;
  std::shared_ptr<StagingArea> area_ =
      StagingArea::Create({.env = Env::Default(), .directory = tmp_.path(), .sync = false});
};

// One byte behind it, where there is one.
TEST_F(BodyTest, SplitsBehindTheFirstEmptyLine) {
  const std::string long_header = "X: " + std::string(kMaxHeaderFrame, 'x');
  const struct {
    std::string message;
    size_t header_size;
  } cases[] = {
      {"", 0},
      {"\n", 1},
      {"\r\n", 2},
      {"\nbody", 2},
      {"\r\nbody", 3},
      {"\r", 1},
      {"a", 1},
      {"A: b\n", 5},
      {"A: b\n\n", 6},
      {"A: b\n\nbody\n\nmore", 7},
      {"A: b\r\n\r\nbody", 9},
      {"A: b\n\r\nbody", 8},
      {"A: b\r\n\nbody", 8},
      {"A: b\r\r\n\r\nbody", 10},
      {"A: b\n\r\r\nbody\n\nmore", 15},
      {"A: b\n\rC: d\n\nbody", 13},
      {"A: b\n \nC: d\n\nbody", 14},
      {"A: b\r\nno empty line at all\r\n", 28},
      {long_header, kMaxHeaderFrame},
      {long_header + "\r\n\r\nbody", kMaxHeaderFrame},
      {std::string(kMaxHeaderFrame - 2, 'x') + "\n\nbody", kMaxHeaderFrame},
      {std::string(kMaxHeaderFrame - 3, 'x') + "\n\nbody", kMaxHeaderFrame},
      {std::string(kMaxHeaderFrame - 1, 'x') + "\n\nbody", kMaxHeaderFrame},
      {std::string(kMaxHeaderFrame, 'x'), kMaxHeaderFrame},
  };
  for (const auto& c : cases) {
    for (const size_t step : {size_t{1}, size_t{3}, SIZE_MAX}) {
      if (c.message.size() > 1000 && step == 1) {
        continue;
      }
      auto staged = Stage(area_, c.message, {.step = step});
      ASSERT_TRUE(staged.ok()) << staged.status().message();
      PackRecord record;
      (*staged)->Describe(record);
      EXPECT_EQ(record.header_size, c.header_size) << c.message.substr(0, 40) << " step " << step;
      EXPECT_EQ(record.header_stored == 0, c.header_size == 0);
      EXPECT_EQ(record.body_stored == 0, c.header_size == c.message.size());
      const auto reader = (*staged)->OpenReader();
      ASSERT_TRUE(reader.ok());
      EXPECT_EQ(ReadAll(**reader).value(), c.message);
    }
  }
}

TEST_F(BodyTest, EveryShapeComesBack) {
  const std::string header = "From: a@b\r\nSubject: x\r\n\r\n";
  const struct {
    const char* name;
    std::string message;
    bool opaque;
    bool large;
  } cases[] = {
      {"empty", "", false, false},
      {"header only", header, false, false},
      {"small CRLF", header + Compressible(4000), false, false},
      {"small LF", "From: a@b\n\n" + Compressible(4000, "\n"), false, false},
      {"no header", Compressible(5000, ""), false, false},
      {"header of the limit", Compressible(kMaxHeaderFrame, ""), false, false},
      {"header above the limit", Compressible(kMaxHeaderFrame + 1, ""), false, false},
      {"body of one piece", header + Compressible(128 * 1024), false, false},
      {"body of one piece and a byte", header + Compressible(128 * 1024 + 1), false, false},
      {"body kept whole", header + Compressible(kWholeBodyBytes), false, false},
      {"body not kept whole", header + Compressible(kWholeBodyBytes + 1), false, false},
      {"small frame of a long body", header + std::string(20000000, 'x'), false, false},
      {"incompressible in the pack", header + Incompressible(kLargeBodyBytes - 100), false, false},
      {"incompressible and large", header + Incompressible(kLargeBodyBytes), false, true},
      {"5 MB incompressible", header + Incompressible(5000000), false, true},
      {"10 MB compressible", header + Compressible(10000000), false, true},
      {"opaque empty", "", true, false},
      {"opaque", "\x01\n\n" + Incompressible(3000), true, false},
      {"opaque at the limit", Incompressible(kLargeBodyBytes), true, false},
      {"opaque above the limit", Incompressible(kLargeBodyBytes + 1), true, true},
      {"opaque 3 MB", Incompressible(3000000), true, true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    for (const size_t step : {size_t{777}, size_t{8192}, SIZE_MAX}) {
      if (step == 777 && c.message.size() > 1000000) {
        continue;
      }
      auto staged = Stage(area_, c.message, {.opaque = c.opaque, .step = step});
      ASSERT_TRUE(staged.ok()) << staged.status().message();
      EXPECT_EQ((*staged)->large(), c.large);
      EXPECT_EQ((*staged)->physical_size(), c.message.size());
      EXPECT_EQ((*staged)->virtual_size(), c.message.size() + 3);
      EXPECT_EQ(FilesIn(tmp_.path()), c.large ? 1u : 0u);
      {
        const auto reader = (*staged)->OpenReader();
        ASSERT_TRUE(reader.ok());
        CheckReader(**reader, c.message, c.opaque);
      }
      const uint64_t stored = (*staged)->stored_size();
      const SavedBody saved = SaveByHand(dir_, **staged);
      staged->reset();
      EXPECT_EQ(FilesIn(tmp_.path()), 0u);
      EXPECT_EQ(stored, saved.record.header_stored + saved.record.body_stored +
                            (c.large ? kLargeHeaderBytes : 0));
      EXPECT_EQ(saved.record.codec, c.opaque ? Codec::kOpaque : Codec::kZstd);
      EXPECT_EQ(saved.record.large_id != 0, c.large);
      if (!c.large) {
        EXPECT_LE(saved.record.body_stored, kLargeBodyBytes);
      }
      const auto reader = OpenSaved(saved);
      CheckReader(*reader, c.message, c.opaque);
    }
  }
}

TEST_F(BodyTest, EveryLevelKeepsToTheWindowThatReadersAllow) {
  const std::string message = "A: b\n\n" + Compressible(1500000);
  for (const int level : {-5, 1, 3, 6, 12, 19, 40}) {
    const auto staged = Stage(area_, message, {.compression_level = level});
    ASSERT_TRUE(staged.ok());
    const auto reader = (*staged)->OpenReader();
    EXPECT_TRUE(ReadAll(**reader, 100000).value() == message) << level;
  }
}

TEST_F(BodyTest, OpaqueSizesAreThoseOfTheMessage) {
  const std::string encoded = Incompressible(500);
  const auto staged = Stage(area_, encoded, {.opaque = true, .physical_size = 12345});
  ASSERT_TRUE(staged.ok());
  EXPECT_EQ((*staged)->physical_size(), 12345u);
  const auto reader = (*staged)->OpenReader();
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->size(), 500u);
  EXPECT_EQ(ReadAll(**reader).value(), encoded);
}

TEST_F(BodyTest, RefusesWrongSizes) {
  const auto writer = [&] { return NewBodyWriter({.area = area_, .keep_alive = nullptr}); };
  {
    const auto w = writer();
    ASSERT_TRUE(w->Append("abc", 3).ok());
    EXPECT_EQ(w->Finish(4, 4).status().code(), Code::kInvalid);
  }
  {
    const auto w = writer();
    ASSERT_TRUE(w->Append("abc", 3).ok());
    EXPECT_EQ(w->Finish(3, kMaxMessageBytes + 1).status().code(), Code::kInvalid);
  }
  {
    const auto w = writer();
    w->SetOpaque();
    ASSERT_TRUE(w->Append("abc", 3).ok());
    EXPECT_EQ(w->Finish(kMaxMessageBytes + 1, 3).status().code(), Code::kInvalid);
  }
  {
    const auto w = writer();
    w->SetOpaque();
    ASSERT_TRUE(w->Append("abc", 3).ok());
    EXPECT_TRUE(w->Finish(kMaxMessageBytes, kMaxMessageBytes).ok());
    EXPECT_EQ(w->Finish(3, 3).status().code(), Code::kInvalid) << "twice";
  }
  {
    const auto w = writer();
    ASSERT_TRUE(w->Append("abc", 3).ok());
    // Refused before a byte of it is looked at.
    EXPECT_EQ(w->Append("", kMaxMessageBytes - 2).code(), Code::kInvalid);
    EXPECT_EQ(w->Append("x", 1).code(), Code::kInvalid) << "nothing goes on after a failure";
    EXPECT_EQ(w->Finish(3, 3).status().code(), Code::kInvalid);
  }
}

TEST_F(BodyTest, AppendOfNothing) {
  const auto writer = NewBodyWriter({.area = area_, .keep_alive = nullptr});
  ASSERT_TRUE(writer->Append(nullptr, 0).ok());
  ASSERT_TRUE(writer->Append("A: b\n\n", 6).ok());
  ASSERT_TRUE(writer->Append("", 0).ok());
  const auto staged = writer->Finish(6, 8);
  ASSERT_TRUE(staged.ok());
}

TEST_F(BodyTest, KeepsAliveWhatItIsTold) {
  auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = owner;
  auto writer = NewBodyWriter({.area = area_, .keep_alive = std::move(owner)});
  ASSERT_TRUE(writer->Append("abc", 3).ok());
  auto staged = writer->Finish(3, 3);
  ASSERT_TRUE(staged.ok());
  writer.reset();
  EXPECT_FALSE(seen.expired());
  auto reader = static_cast<StagedBodyImpl&>(**staged).OpenReader();
  ASSERT_TRUE(reader.ok());
  staged->reset();
  EXPECT_FALSE(seen.expired());
  EXPECT_EQ(ReadAll(**reader).value(), "abc");
  reader->reset();
  EXPECT_TRUE(seen.expired());
}

TEST_F(BodyTest, ReadingTheHeaderDoesNotTouchTheBody) {
  const std::string header = "From: a@b\r\n\r\n";
  auto staged = Stage(area_, header + Incompressible(300000));
  ASSERT_TRUE(staged.ok());
  int opened = 0;
  const auto reader = (*staged)->OpenReader([&]() -> Result<std::unique_ptr<File>> {
    opened++;
    return Status(Code::kNotFound, "expunged");
  });
  ASSERT_TRUE(reader.ok());
  char buffer[1000];
  // Also when more is asked for.
  // With one byte more, from which a parser sees that the header is over.
  EXPECT_EQ((*reader)->Read(0, buffer, sizeof(buffer)).value(), header.size() + 1);
  EXPECT_EQ(std::string(buffer, header.size()), header);
  EXPECT_EQ((*reader)->Read(5, buffer, 3).value(), 3u);
  EXPECT_EQ((*reader)->size(), header.size() + 300000);
  EXPECT_EQ(opened, 0);
  // What the opening says is passed on as it is, and tried again.
  for (int i = 1; i <= 2; i++) {
    const Status status = (*reader)->Read(header.size() + 1, buffer, 1).status();
    EXPECT_EQ(status.code(), Code::kNotFound);
    EXPECT_EQ(status.message(), "expunged");
    EXPECT_EQ(opened, i);
  }
}

TEST_F(BodyTest, Corpus) {
  const auto files = CorpusFiles();
  if (files.empty()) {
    GTEST_SKIP() << "no corpus";
  }
  for (const std::string& file : files) {
    const std::string message = ReadWholeFile(file);
    auto staged = Stage(area_, message, {.step = 4096});
    ASSERT_TRUE(staged.ok()) << file;
    const SavedBody saved = SaveByHand(dir_, **staged);
    const auto reader = OpenSaved(saved);
    ASSERT_TRUE(ReadAll(*reader).value() == message) << file;
    CheckAnyOffset(*reader, message, 1);
  }
}

}  // namespace
}  // namespace lbox

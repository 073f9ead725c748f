// Never wrong bytes: whatever happened to what is stored, a reader gives the message or an error
// that names it.
#include <functional>
#include <memory>

#include <zstd.h>

#include <gtest/gtest.h>

#include "storage/checksum.h"
#include "tests/unit/body_support.h"

namespace lbox {
namespace {

class BodyDamageTest : public testing::Test {
 protected:
  // Reads all, beginning at 0 and beginning in the body; each must be right or refused. How many
  // were refused.
  static int Refusals(const std::function<std::unique_ptr<BodyReader>()>& open,
                      const std::string& message, size_t body_at) {
    int refused = 0;
    for (const size_t start : {size_t{0}, body_at}) {
      const auto reader = open();
      const auto got = ReadSome(*reader, start, message.size());
      if (got.ok()) {
        EXPECT_TRUE(got.value() == message.substr(start)) << "wrong bytes";
      } else {
        EXPECT_EQ(got.status().code(), Code::kCorruption) << got.status().message();
        EXPECT_TRUE(got.status().message().starts_with("pack p/00000001 record at 64: "))
            << got.status().message();
        refused++;
      }
    }
    EXPECT_EQ(open()->Verify().code(), refused == 0 ? Code::kOk : Code::kCorruption);
    return refused;
  }

  SavedBody Save(const std::string& message, bool opaque = false) {
    auto staged = Stage(area_, message, {.opaque = opaque});
    EXPECT_TRUE(staged.ok());
    return SaveByHand(dir_, **staged);
  }

  TempDir dir_;
  TempDir tmp_;
  std::shared_ptr<StagingArea> area_ =
      StagingArea::Create({.env = Env::Default(), .directory = tmp_.path(), .sync = false});
};

TEST_F(BodyDamageTest, EveryByteOfSmallFrames) {
  const std::string header = "From: ann@example.org\r\nSubject: hello\r\n\r\n";
  const std::string message = header + Compressible(300);
  const SavedBody saved = Save(message);
  const std::string good = ReadWholeFile(saved.pack);
  const size_t in_header_frame = header.size() + 1;
  ASSERT_EQ(Refusals([&] { return OpenSaved(saved); }, message, in_header_frame), 0);
  const size_t body_frame_at = saved.frames_at + saved.record.header_stored;
  const size_t end = body_frame_at + saved.record.body_stored;
  for (size_t at = saved.frames_at; at < end; at++) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      WriteWholeFile(saved.pack, bad);
      // A damaged header frame leaves the body readable.
      ASSERT_EQ(Refusals([&] { return OpenSaved(saved); }, message, in_header_frame),
                at < body_frame_at ? 1 : 2)
          << at;
    }
  }
  for (size_t size = body_frame_at; size < end; size++) {
    WriteWholeFile(saved.pack, good.substr(0, size));
    ASSERT_EQ(Refusals([&] { return OpenSaved(saved); }, message, in_header_frame), 2) << size;
  }
}

TEST_F(BodyDamageTest, LargeFiles) {
  for (const bool opaque : {false, true}) {
    const std::string header = opaque ? "" : "From: a@b\n\n";
    const std::string message = header + Incompressible(200000);
    const SavedBody saved = Save(message, opaque);
    const std::string good = ReadWholeFile(saved.large);
    const auto refusals = [&](const std::string& bytes) {
      WriteWholeFile(saved.large, bytes);
      return Refusals([&] { return OpenSaved(saved); }, message, header.size());
    };
    ASSERT_EQ(refusals(good), 0);
    Random random(3);
    for (size_t at = 0; at < good.size(); at += at < 100 ? 1 : 1 + random.Below(2000)) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << random.Below(8)));
      ASSERT_EQ(refusals(bad), 2) << at;
    }
    for (const size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, good.size() - 1}) {
      ASSERT_EQ(refusals(good.substr(0, size)), 2) << size;
    }
    ASSERT_EQ(refusals(good + "x"), 2);
    // A whole and valid file, but of another message.
    const std::string other = header + Incompressible(200000, 2);
    auto staged = Stage(area_, other, {.opaque = opaque});
    ASSERT_TRUE(staged.ok());
    ASSERT_EQ(refusals(ReadWholeFile((*staged)->tmp_path())), 2);
  }
}

TEST_F(BodyDamageTest, ARecordThatDoesNotFitItsFrames) {
  const std::string header = "From: a@b\n\n";
  const std::string message = header + Compressible(1000);
  const struct {
    const char* name;
    std::function<void(PackRecord&)> change;
  } cases[] = {
      {"longer message", [](PackRecord& r) { r.physical_size++; }},
      {"shorter message", [](PackRecord& r) { r.physical_size--; }},
      {"message without body", [](PackRecord& r) { r.physical_size = r.header_size; }},
      {"message shorter than its header", [](PackRecord& r) { r.physical_size = 1; }},
      {"longer header", [](PackRecord& r) { r.header_size++; }},
      {"shorter header", [](PackRecord& r) { r.header_size--; }},
      {"no header", [](PackRecord& r) { r.header_size = 0; }},
      {"enormous header", [](PackRecord& r) { r.header_size = r.physical_size = 0xFFFFFF00; }},
      {"longer header frame", [](PackRecord& r) { r.header_stored++; }},
      {"shorter body frame", [](PackRecord& r) { r.body_stored--; }},
      {"no body frame", [](PackRecord& r) { r.body_stored = 0; }},
      {"enormous body frame", [](PackRecord& r) { r.body_stored = 0xFFFFFFFF; }},
      {"other header hash", [](PackRecord& r) { r.header_hash++; }},
      {"other body hash", [](PackRecord& r) { r.body_hash++; }},
      {"opaque", [](PackRecord& r) { r.codec = Codec::kOpaque; }},
  };
  SavedBody saved = Save(message);
  const PackRecord good = saved.record;
  for (const auto& c : cases) {
    saved.record = good;
    c.change(saved.record);
    const auto reader = OpenSaved(saved);
    EXPECT_EQ(reader->Verify().code(), Code::kCorruption) << c.name;
    EXPECT_EQ(ReadAll(*reader).status().code(), Code::kCorruption) << c.name;
  }
}

// A frame whose hash is right, but which is not the body.
TEST_F(BodyDamageTest, AFrameThatIsNotTheBody) {
  const auto frame = [](const std::string& raw, int window = 20) {
    std::string bytes(ZSTD_compressBound(raw.size()) + 100, '\0');
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window);
    ZSTD_outBuffer out{bytes.data(), bytes.size(), 0};
    ZSTD_inBuffer in{raw.data(), raw.size(), 0};
    // In two steps, so that the frame does not tell its length.
    ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
    EXPECT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0u);
    ZSTD_freeCCtx(context);
    bytes.resize(out.pos);
    return bytes;
  };
  for (const size_t size : {size_t{1000}, size_t{400000}}) {
    const std::string body(size, 'x');
    const std::string good = frame(body);
    const struct {
      const char* name;
      std::string frame;
      bool ok;
    } cases[] = {
        {"the body", good, true},
        {"one byte more", frame(body + "x"), false},
        {"much more", frame(body + body + body), false},
        {"one byte less", frame(body.substr(1)), false},
        {"nothing", frame(""), false},
        {"cut short", good.substr(0, good.size() - 1), false},
        {"something behind", good + '\0', false},
        {"two frames", good + good, false},
        {"two frames that make it up", frame(body.substr(1)) + frame("x"), false},
        {"no frame", std::string(good.size(), 'x'), false},
        {"a window that takes too much memory", frame(body, 24), false},
    };
    for (const auto& c : cases) {
      BodyReaderOptions options;
      options.record.physical_size = static_cast<uint32_t>(size);
      options.record.body_stored = static_cast<uint32_t>(c.frame.size());
      options.record.body_hash = Hash64(Bytes(c.frame));
      options.body_frame = c.frame;
      const auto reader = NewBodyReader(std::move(options));
      const auto got = ReadAll(*reader);
      EXPECT_EQ(got.status().code(), c.ok ? Code::kOk : Code::kCorruption)
          << c.name << ": " << got.status().message();
    }
  }
}

}  // namespace
}  // namespace lbox

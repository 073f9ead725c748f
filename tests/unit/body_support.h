// Staging and reading back, for the tests of bodies.
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "storage/body_reader.h"
#include "storage/body_writer.h"
#include "tests/unit/test_support.h"

namespace lbox {

struct StageOptions {
  bool opaque = false;
  size_t step = SIZE_MAX;      // bytes per Append
  uint64_t physical_size = 0;  // 0: that of the message
  int compression_level = 3;
};

inline Result<std::unique_ptr<StagedBodyImpl>> Stage(const std::shared_ptr<StagingArea>& area,
                                                     const std::string& message,
                                                     const StageOptions& options = {}) {
  const auto writer = NewBodyWriter(
      {.area = area, .compression_level = options.compression_level, .keep_alive = nullptr});
  if (options.opaque) {
    writer->SetOpaque();
  }
  for (size_t at = 0; at < message.size();) {
    const size_t size = std::min(options.step, message.size() - at);
    if (Status status = writer->Append(message.data() + at, size); !status.ok()) {
      return status;
    }
    at += size;
  }
  const uint64_t physical = options.physical_size == 0 ? message.size() : options.physical_size;
  auto staged = writer->Finish(physical, physical + 3);
  if (!staged.ok()) {
    return staged.status();
  }
  return std::unique_ptr<StagedBodyImpl>(static_cast<StagedBodyImpl*>(staged->release()));
}

// Up to `size` bytes from `offset`, however short the single reads are.
inline Result<std::string> ReadSome(BodyReader& reader, uint64_t offset, size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    std::string buffer(size - bytes.size(), '\0');
    auto got = reader.Read(offset + bytes.size(), buffer.data(), buffer.size());
    if (!got.ok()) {
      return got.status();
    }
    if (got.value() == 0) {
      break;
    }
    bytes.append(buffer, 0, got.value());
  }
  return bytes;
}

// All of it, in pieces.
inline Result<std::string> ReadAll(BodyReader& reader, size_t piece = 8192) {
  std::string bytes;
  for (;;) {
    auto some = ReadSome(reader, bytes.size(), piece);
    if (!some.ok() || some->empty()) {
      return some.ok() ? Result<std::string>(std::move(bytes)) : some;
    }
    bytes += some.value();
  }
}

// Where Save puts things, done by hand: a record in a pack file after `offset` bytes of something
// else, a large body in l/.
struct SavedBody {
  PackRecord record;
  std::string pack;  // path
  uint64_t frames_at = 0;
  std::string large;  // path, when record.large_id != 0
};

inline SavedBody SaveByHand(const TempDir& dir, StagedBodyImpl& staged, size_t offset = 64) {
  SavedBody saved;
  staged.Describe(saved.record);
  const std::string header = EncodePackRecord(saved.record);
  saved.pack = dir / "pack";
  saved.frames_at = offset + header.size();
  WriteWholeFile(saved.pack, std::string(offset, '#') + header + staged.Frames().value() + "####");
  if (staged.large()) {
    saved.large = dir / "large";
    EXPECT_TRUE(Env::Default()->Rename(staged.tmp_path(), saved.large).ok());
    staged.Disown(saved.large);
  }
  return saved;
}

inline std::unique_ptr<BodyReader> OpenSaved(const SavedBody& saved, Env* env = Env::Default()) {
  BodyReaderOptions options;
  options.record = saved.record;
  options.context = [] { return std::string("pack p/00000001 record at 64"); };
  std::shared_ptr<File> pack = std::move(env->OpenRead(saved.pack).value());
  options.header_frame.resize(saved.record.header_stored);
  EXPECT_TRUE(
      pack->ReadAt(saved.frames_at, options.header_frame.data(), options.header_frame.size()).ok());
  if (saved.record.large_id == 0) {
    options.pack = pack;
    options.body_offset = saved.frames_at + saved.record.header_stored;
  } else {
    options.open_large = [env, path = saved.large] { return env->OpenRead(path); };
  }
  return NewBodyReader(std::move(options));
}

}  // namespace lbox

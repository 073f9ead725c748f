// A record of a pack: header with its variable part, then both frames, read to the end as a mail
// process would. Hashes are made right for whatever is there.
#include "storage/pack_record.h"

#include <algorithm>

#include <zstd.h>

#include "storage/body_reader.h"
#include "storage/checksum.h"
#include "storage/coding.h"
#include "tests/fuzz/fuzz_target.h"

namespace lbox::fuzz {
namespace {

constexpr size_t kHeaderLengthAt = 8, kHeaderStoredAt = 112, kBodyStoredAt = 116,
                 kHeaderHashAt = 120, kBodyHashAt = 128, kHashAt = 184;
constexpr uint64_t kMostRead = 1024 * 1024;

uint8_t* At(std::string& bytes, size_t at) {
  return reinterpret_cast<uint8_t*>(bytes.data()) + at;
}

std::string Slice(const std::string& bytes, uint64_t at, uint64_t size) {
  return at < bytes.size() ? bytes.substr(at, size) : std::string();
}

// Makes header length and hashes fit.
void Repair(std::string& bytes) {
  if (bytes.size() < kPackRecordFixedBytes) {
    return;
  }
  auto length = LoadLittle<uint32_t>(At(bytes, kHeaderLengthAt));
  if (length < kPackRecordFixedBytes || length > bytes.size()) {
    length = kPackRecordFixedBytes +
             length % static_cast<uint32_t>(bytes.size() - kPackRecordFixedBytes + 1);
    StoreLittle(At(bytes, kHeaderLengthAt), length);
  }
  const auto header = LoadLittle<uint32_t>(At(bytes, kHeaderStoredAt));
  const auto body = LoadLittle<uint32_t>(At(bytes, kBodyStoredAt));
  const std::string header_frame = Slice(bytes, length, header);
  const std::string body_frame = Slice(bytes, uint64_t{length} + header, body);
  StoreLittle(At(bytes, kHeaderHashAt), Hash64(Bytes(header_frame)));
  StoreLittle(At(bytes, kBodyHashAt), Hash64(Bytes(body_frame)));
  const std::string hashed = bytes.substr(0, kHashAt) +
                             bytes.substr(kPackRecordFixedBytes, length - kPackRecordFixedBytes);
  StoreLittle(At(bytes, kHashAt), Hash64(Bytes(hashed)));
}

void ReadFrames(const PackRecord& record, const std::string& bytes, size_t header_bytes) {
  BodyReaderOptions options;
  options.record = record;
  options.header_frame = Slice(bytes, header_bytes, record.header_stored);
  const std::string body =
      Slice(bytes, uint64_t{header_bytes} + record.header_stored, record.body_stored);
  if (record.large_id == 0) {
    options.body_frame = body;
  } else {
    options.open_large = []() -> Result<std::unique_ptr<File>> {
      return Status(Code::kCorruption, "none");
    };
  }
  const auto reader = NewBodyReader(std::move(options));
  (void)reader->Verify();
  char buffer[4096];
  for (uint64_t offset = 0; offset < std::min(reader->size(), kMostRead);) {
    const auto got = reader->Read(offset, buffer, sizeof(buffer));
    if (!got.ok()) {
      Require(got.status().code() != Code::kOk, "no reason");
      break;
    }
    Require(*got > 0 && *got <= sizeof(buffer), "a reading that does not go on");
    offset += *got;
  }
  (void)reader->Read(reader->size() / 2, buffer, sizeof(buffer));
}

void Try(const std::string& bytes) {
  const auto size = PackRecordHeaderBytes(Bytes(bytes));
  if (!size.ok()) {
    return;
  }
  Require(*size >= kPackRecordFixedBytes, "a header that is too short");
  if (*size > bytes.size()) {
    return;
  }
  const auto header = Bytes(bytes).first(*size);
  (void)PackRecordCheck(header);
  const auto record = DecodePackRecord(header);
  if (!record.ok()) {
    return;
  }
  reached++;
  Require(PackRecordSpan(*size, *record) % kPackAlignment == 0, "a record that is not aligned");
  const auto again = DecodePackRecord(Bytes(EncodePackRecord(*record)));
  Require(again.ok() && again->keywords == record->keywords && again->uid == record->uid &&
              again->body_hash == record->body_hash,
          "a record changes");
  ReadFrames(*record, bytes, *size);
}

std::string Compressed(const std::string& raw) {
  std::string frame(ZSTD_compressBound(raw.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), raw.data(), raw.size(), 3));
  return frame;
}

std::string Seed(const std::string& header, const std::string& body, bool opaque) {
  PackRecord record;
  record.uid = 3;
  record.batch_count = 1;
  record.keywords = {"$Junk", "work"};
  record.pop3_uidl = "u";
  record.physical_size = static_cast<uint32_t>(header.size() + body.size());
  record.virtual_size = record.physical_size;
  std::string frames;
  if (opaque) {
    record.codec = Codec::kOpaque;
    frames = header + body;
    record.body_stored = record.physical_size;
  } else {
    const std::string first = Compressed(header), second = Compressed(body);
    record.header_size = static_cast<uint32_t>(header.size());
    record.header_stored = static_cast<uint32_t>(first.size());
    record.body_stored = static_cast<uint32_t>(second.size());
    frames = first + second;
  }
  std::string bytes = EncodePackRecord(record) + frames;
  Repair(bytes);
  return bytes;
}

}  // namespace

std::vector<std::string> Seeds() {
  const std::string header = "From: ann@example.org\r\nSubject: x\r\n\r\n";
  return {Seed(header, "Hi Bob\r\n", false), Seed(header, std::string(300'000, 'x'), false),
          Seed(header, "sealed", true)};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  Repair(bytes);
  Try(bytes);
  return 0;
}

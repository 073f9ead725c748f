#include "storage/pack_record.h"

#include <array>
#include <climits>

#include "storage/checksum.h"
#include "storage/coding.h"
#include "storage/protobuf.h"

namespace lbox {
namespace {

constexpr uint32_t kRecordMagic = 0x5258424C;  // "LBXR"
constexpr uint32_t kLargeMagic = 0x4C58424C;   // "LBXL"
constexpr uint8_t kRecordFormat = 1;
constexpr uint8_t kLargeFormat = 1;

// Offsets that every format keeps, so that a newer one is told from damage.
constexpr size_t kFormatAt = 4;
constexpr size_t kHeaderBytesAt = 8;
constexpr size_t kRecordHashAt = kPackRecordFixedBytes - 8;
constexpr size_t kLargeHashAt = kLargeHeaderBytes - 8;

Status Corrupt(const char* what, const char* why) {
  return Status(Code::kCorruption, std::string(what) + ": " + why);
}

Status Newer(const char* what, uint32_t value) {
  return Status(Code::kUnsupported,
                std::string(what) + " " + std::to_string(value) + " is of a newer version of lbox");
}

// Over the whole header, the field for the hash itself left out.
uint64_t RecordHash(std::span<const uint8_t> header) {
  Hasher hasher;
  hasher.Update(header.data(), kRecordHashAt);
  const auto variable = header.subspan(kPackRecordFixedBytes);
  hasher.Update(variable.data(), variable.size());
  return hasher.Digest();
}

// RecordExtra of cold.proto.
std::string EncodeVariable(const PackRecord& record) {
  std::string bytes;
  ProtobufWriter extra(bytes);
  extra.Each(1, record.keywords);
  extra.Bytes(2, record.original_guid);
  extra.Bytes(3, record.pop3_uidl);
  extra.Number(4, record.pop3_order);
  extra.Number(5, record.uid_validity);
  extra.Bytes(6, record.mailbox_name);
  return bytes;
}

bool DecodeVariable(std::span<const uint8_t> data, PackRecord& record) {
  return ReadProtobuf(data, [&](ProtobufField& field) {
    field.Each(1, record.keywords);
    field.Bytes(2, record.original_guid);
    field.Bytes(3, record.pop3_uidl);
    field.Number(4, record.pop3_order);
    field.Number(5, record.uid_validity);
    field.Bytes(6, record.mailbox_name);
  });
}

}  // namespace

std::string EncodePackRecord(const PackRecord& record) {
  const std::string variable = EncodeVariable(record);
  const size_t header_bytes = kPackRecordFixedBytes + variable.size();
  assert(header_bytes <= kMaxPackRecordHeaderBytes);
  std::string bytes(kPackRecordFixedBytes, '\0');
  bytes += variable;
  const std::span<uint8_t> header(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
  Encoder out(header);
  out.U32(kRecordMagic);
  out.U8(kRecordFormat);
  out.U8(static_cast<uint8_t>(record.codec));
  out.U8(record.dictionary);
  out.U8(record.flags);
  out.U32(static_cast<uint32_t>(header_bytes));
  out.U32(record.uid);
  out.U32(record.batch_index);
  out.U32(record.batch_count);
  out.Id(record.store);
  out.U64(record.transaction);
  out.U64(record.body_id);
  out.Id(record.mailbox);
  out.Id(record.guid);
  out.I64(record.received);
  out.U32(record.saved);
  out.U32(record.physical_size);
  out.U32(record.virtual_size);
  out.U32(record.header_size);
  out.U32(record.header_stored);
  out.U32(record.body_stored);
  out.U64(record.header_hash);
  out.U64(record.body_hash);
  out.U64(record.large_id);
  out.U8(static_cast<uint8_t>(record.cause));
  out.Zero(kRecordHashAt - out.position());
  out.U64(RecordHash(header));
  assert(out.position() == kPackRecordFixedBytes);
  return bytes;
}

Result<size_t> PackRecordHeaderBytes(std::span<const uint8_t> data) {
  if (data.size() < kPackRecordFixedBytes) {
    return Corrupt("pack record", "cut short");
  }
  if (LoadLittle<uint32_t>(data.data()) != kRecordMagic) {
    return Corrupt("pack record", "wrong magic number");
  }
  const auto size = LoadLittle<uint32_t>(data.data() + kHeaderBytesAt);
  if (size < kPackRecordFixedBytes || size > kMaxPackRecordHeaderBytes) {
    return Corrupt("pack record", "impossible header length");
  }
  return size;
}

uint32_t PackRecordCheck(std::span<const uint8_t> data) {
  assert(data.size() >= kPackRecordFixedBytes);
  return LoadLittle<uint32_t>(data.data() + kRecordHashAt);
}

Result<PackRecord> DecodePackRecord(std::span<const uint8_t> data) {
  const auto header_bytes = PackRecordHeaderBytes(data);
  if (!header_bytes.ok()) {
    return header_bytes.status();
  }
  if (data.size() < header_bytes.value()) {
    return Corrupt("pack record", "header cut short");
  }
  const auto header = data.first(header_bytes.value());
  if (LoadLittle<uint64_t>(header.data() + kRecordHashAt) != RecordHash(header)) {
    return Corrupt("pack record", "wrong header hash");
  }
  if (header[kFormatAt] > kRecordFormat) {
    return Newer("pack record format", header[kFormatAt]);
  }
  if (header[kFormatAt] != kRecordFormat) {
    return Corrupt("pack record", "format 0");
  }

  PackRecord record;
  Decoder in(header.subspan(kFormatAt + 1));
  const uint8_t codec = in.U8();
  record.dictionary = in.U8();
  record.flags = in.U8();
  (void)in.U32();  // header length
  record.uid = in.U32();
  record.batch_index = in.U32();
  record.batch_count = in.U32();
  record.store = in.Id();
  record.transaction = in.U64();
  record.body_id = in.U64();
  record.mailbox = in.Id();
  record.guid = in.Id();
  record.received = in.I64();
  record.saved = in.U32();
  record.physical_size = in.U32();
  record.virtual_size = in.U32();
  record.header_size = in.U32();
  record.header_stored = in.U32();
  record.body_stored = in.U32();
  record.header_hash = in.U64();
  record.body_hash = in.U64();
  record.large_id = in.U64();
  record.cause = static_cast<Cause>(in.U8());
  if (!in.Zero(kRecordHashAt - (kFormatAt + 1) - in.position())) {
    return Corrupt("pack record", "reserved bytes in use");
  }
  if (codec > static_cast<uint8_t>(Codec::kOpaque)) {
    return Newer("codec", codec);
  }
  record.codec = static_cast<Codec>(codec);
  if (record.dictionary != 0) {
    return Newer("dictionary", record.dictionary);
  }
  if (!DecodeVariable(header.subspan(kPackRecordFixedBytes), record)) {
    return Corrupt("pack record", "no valid protobuf");
  }
  return record;
}

uint64_t PackRecordSpan(size_t header_bytes, const PackRecord& record) {
  uint64_t size = uint64_t{header_bytes} + record.header_stored;
  if (record.large_id == 0) {
    size += record.body_stored;
  }
  return (size + kPackAlignment - 1) / kPackAlignment * kPackAlignment;
}

std::string EncodeLargeHeader(const LargeHeader& header) {
  std::array<uint8_t, kLargeHeaderBytes> bytes;
  Encoder out(bytes);
  out.U32(kLargeMagic);
  out.U8(kLargeFormat);
  out.Zero(3);
  out.U64(header.large_id);
  out.U64(header.body_stored);
  out.U64(header.body_hash);
  out.Zero(kLargeHashAt - out.position());
  out.U64(Hash64(std::span(bytes).first(kLargeHashAt)));
  return std::string(bytes.begin(), bytes.end());
}

Result<LargeHeader> DecodeLargeHeader(std::span<const uint8_t> data) {
  if (data.size() < kLargeHeaderBytes) {
    return Corrupt("large body", "cut short");
  }
  data = data.first(kLargeHeaderBytes);
  if (LoadLittle<uint32_t>(data.data()) != kLargeMagic) {
    return Corrupt("large body", "wrong magic number");
  }
  if (LoadLittle<uint64_t>(data.data() + kLargeHashAt) != Hash64(data.first(kLargeHashAt))) {
    return Corrupt("large body", "wrong header hash");
  }
  if (data[kFormatAt] > kLargeFormat) {
    return Newer("large body format", data[kFormatAt]);
  }
  if (data[kFormatAt] != kLargeFormat) {
    return Corrupt("large body", "format 0");
  }
  LargeHeader header;
  Decoder in(data.subspan(kFormatAt + 1));
  const bool zero = in.Zero(3);
  header.large_id = in.U64();
  header.body_stored = in.U64();
  header.body_hash = in.U64();
  if (!in.Zero(kLargeHashAt - (kFormatAt + 1) - in.position()) || !zero) {
    return Corrupt("large body", "reserved bytes in use");
  }
  return header;
}

}  // namespace lbox

#include "storage/pack_record.h"

#include <gtest/gtest.h>

#include "storage/checksum.h"
#include "storage/coding.h"
#include "tests/unit/test_support.h"

namespace lbox {
namespace {

PackRecord SomeRecord() {
  PackRecord record;
  for (uint8_t i = 0; i < 16; i++) {
    record.store.bytes[i] = static_cast<uint8_t>(0x10 + i);
    record.mailbox.bytes[i] = static_cast<uint8_t>(0x30 + i);
    record.guid.bytes[i] = static_cast<uint8_t>(0x50 + i);
  }
  record.transaction = 0x0102030405060708;
  record.batch_index = 0x11121314;
  record.batch_count = 0x15161718;
  record.body_id = 0x2122232425262728;
  record.uid = 0x31323334;
  record.flags = 0x1F;
  record.cause = Cause::kImport;
  record.codec = Codec::kOpaque;
  record.received = -7;
  record.saved = 0x41424344;
  record.physical_size = 0x51525354;
  record.virtual_size = 0x55565758;
  record.header_size = 0x61626364;
  record.header_stored = 0x65666768;
  record.body_stored = 0x71727374;
  record.header_hash = 0x8182838485868788;
  record.body_hash = 0x9192939495969798;
  record.large_id = 0xA1A2A3A4A5A6A7A8;
  record.keywords = {"$Junk", "", std::string("\xff\x00z", 3)};
  record.original_guid = "1700000000.M1P2.host";
  record.pop3_uidl = "7.ab";
  record.pop3_order = 99;
  return record;
}

// Both hashes of a record header, or a large header, put right again after a change.
std::string ResealRecord(std::string bytes) {
  const std::string sealed = bytes.substr(0, 184) + bytes.substr(192);
  StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + 184, Hash64(Bytes(sealed)));
  return bytes;
}
std::string ResealLarge(std::string bytes) {
  StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + 56, Hash64(Bytes(bytes).first(56)));
  return bytes;
}

TEST(PackRecord, RoundTrip) {
  const PackRecord in = SomeRecord();
  const std::string bytes = EncodePackRecord(in);
  EXPECT_EQ(PackRecordHeaderBytes(Bytes(bytes).first(kPackRecordFixedBytes)).value(), bytes.size());
  const auto out = DecodePackRecord(Bytes(bytes));
  ASSERT_TRUE(out.ok()) << out.status().message();
  EXPECT_EQ(out->store, in.store);
  EXPECT_EQ(out->transaction, in.transaction);
  EXPECT_EQ(out->batch_index, in.batch_index);
  EXPECT_EQ(out->batch_count, in.batch_count);
  EXPECT_EQ(out->body_id, in.body_id);
  EXPECT_EQ(out->mailbox, in.mailbox);
  EXPECT_EQ(out->uid, in.uid);
  EXPECT_EQ(out->guid, in.guid);
  EXPECT_EQ(out->flags, in.flags);
  EXPECT_EQ(out->cause, in.cause);
  EXPECT_EQ(out->codec, in.codec);
  EXPECT_EQ(out->dictionary, 0);
  EXPECT_EQ(out->received, in.received);
  EXPECT_EQ(out->saved, in.saved);
  EXPECT_EQ(out->physical_size, in.physical_size);
  EXPECT_EQ(out->virtual_size, in.virtual_size);
  EXPECT_EQ(out->header_size, in.header_size);
  EXPECT_EQ(out->header_stored, in.header_stored);
  EXPECT_EQ(out->body_stored, in.body_stored);
  EXPECT_EQ(out->header_hash, in.header_hash);
  EXPECT_EQ(out->body_hash, in.body_hash);
  EXPECT_EQ(out->large_id, in.large_id);
  EXPECT_EQ(out->keywords, in.keywords);
  EXPECT_EQ(out->original_guid, in.original_guid);
  EXPECT_EQ(out->pop3_uidl, in.pop3_uidl);
  EXPECT_EQ(out->pop3_order, in.pop3_order);
  EXPECT_EQ(EncodePackRecord(out.value()), bytes);
}

TEST(PackRecord, WithoutVariablePartIsTheFixedPart) {
  const std::string bytes = EncodePackRecord(PackRecord());
  EXPECT_EQ(bytes.size(), kPackRecordFixedBytes);
  EXPECT_TRUE(DecodePackRecord(Bytes(bytes)).ok());
}

TEST(PackRecord, IgnoresWhatFollowsTheHeader) {
  const std::string bytes = EncodePackRecord(SomeRecord());
  EXPECT_TRUE(DecodePackRecord(Bytes(bytes + "frames")).ok());
}

TEST(PackRecord, RejectsEveryFlippedBit) {
  const std::string bytes = EncodePackRecord(SomeRecord());
  for (size_t at = 0; at < bytes.size(); at++) {
    for (int bit = 0; bit < 8; bit++) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      damaged += std::string(1000, 'x');  // a longer header length must not read past the end
      ASSERT_EQ(DecodePackRecord(Bytes(damaged)).status().code(), Code::kCorruption) << at;
    }
  }
}

TEST(PackRecord, RejectsEveryTruncation) {
  const std::string bytes = EncodePackRecord(SomeRecord());
  for (size_t size = 0; size < bytes.size(); size++) {
    // A copy of exactly that size, so that reading past it is seen.
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    ASSERT_EQ(DecodePackRecord(cut).status().code(), Code::kCorruption) << size;
    ASSERT_EQ(PackRecordHeaderBytes(cut).ok(), size >= kPackRecordFixedBytes) << size;
  }
}

TEST(PackRecord, RejectsImpossibleHeaderLengths) {
  for (const uint32_t length : {0u, 191u, 16 * 1024 * 1024 + 1u, 0xFFFFFFFFu}) {
    std::string bytes = EncodePackRecord(SomeRecord());
    StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + 8, length);
    EXPECT_EQ(PackRecordHeaderBytes(Bytes(bytes)).status().code(), Code::kCorruption) << length;
  }
}

TEST(PackRecord, RejectsReservedBytesInUse) {
  for (size_t at = 145; at < 184; at++) {
    std::string bytes = EncodePackRecord(SomeRecord());
    ASSERT_EQ(bytes[at], '\0');
    bytes[at] = 1;
    ASSERT_EQ(DecodePackRecord(Bytes(ResealRecord(bytes))).status().code(), Code::kCorruption)
        << at;
  }
}

TEST(PackRecord, TellsNewerFromDamaged) {
  const struct {
    size_t offset;
    uint8_t value;
    Code code;
    const char* message;
  } cases[] = {
      {4, 2, Code::kUnsupported, "pack record format 2 is of a newer version of lbox"},
      {4, 0, Code::kCorruption, "pack record: format 0"},
      {5, 2, Code::kUnsupported, "codec 2 is of a newer version of lbox"},
      {6, 1, Code::kUnsupported, "dictionary 1 is of a newer version of lbox"},
  };
  for (const auto& c : cases) {
    std::string bytes = EncodePackRecord(SomeRecord());
    bytes[c.offset] = static_cast<char>(c.value);
    const Status status = DecodePackRecord(Bytes(ResealRecord(bytes))).status();
    EXPECT_EQ(status.code(), c.code) << c.message;
    EXPECT_EQ(status.message(), c.message);
  }
}

TEST(PackRecord, RejectsAVariablePartThatIsNoProtobuf) {
  std::string bytes = EncodePackRecord(SomeRecord());
  bytes[192] = '\x0f';
  EXPECT_EQ(DecodePackRecord(Bytes(ResealRecord(bytes))).status().code(), Code::kCorruption);
}

TEST(PackRecord, CheckIsTheLowHalfOfTheHash) {
  const std::string bytes = EncodePackRecord(SomeRecord());
  const uint64_t hash = Hash64(Bytes(bytes.substr(0, 184) + bytes.substr(192)));
  EXPECT_EQ(PackRecordCheck(Bytes(bytes)), static_cast<uint32_t>(hash));
}

TEST(PackRecord, Span) {
  PackRecord record;
  const struct {
    size_t header_bytes;
    uint32_t header_stored, body_stored;
    uint64_t large_id, span;
  } cases[] = {
      {192, 0, 0, 0, 192},
      {192, 1, 0, 0, 200},
      {192, 3, 5, 0, 200},
      {193, 3, 5, 0, 208},
      {192, 8, 4000000000u, 0, 4000000200u},
      {192, 0xFFFFFFFFu, 0xFFFFFFFFu, 0, 8589934784u},
      {192, 8, 4000000000u, 1, 200},
  };
  for (const auto& c : cases) {
    record.header_stored = c.header_stored;
    record.body_stored = c.body_stored;
    record.large_id = c.large_id;
    EXPECT_EQ(PackRecordSpan(c.header_bytes, record), c.span);
  }
}

TEST(LargeHeader, RoundTrip) {
  const LargeHeader in{0x0102030405060708, 0x1112131415161718, 0x2122232425262728};
  const std::string bytes = EncodeLargeHeader(in);
  ASSERT_EQ(bytes.size(), kLargeHeaderBytes);
  const auto out = DecodeLargeHeader(Bytes(bytes + "frame"));
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->large_id, in.large_id);
  EXPECT_EQ(out->body_stored, in.body_stored);
  EXPECT_EQ(out->body_hash, in.body_hash);
}

TEST(LargeHeader, RejectsDamage) {
  const std::string bytes = EncodeLargeHeader({1, 2, 3});
  for (size_t at = 0; at < bytes.size(); at++) {
    for (int bit = 0; bit < 8; bit++) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      ASSERT_EQ(DecodeLargeHeader(Bytes(damaged)).status().code(), Code::kCorruption) << at;
    }
    ASSERT_EQ(DecodeLargeHeader(Bytes(bytes).first(at)).status().code(), Code::kCorruption) << at;
  }
  EXPECT_EQ(DecodeLargeHeader(Bytes(std::string(64, '\0'))).status().code(), Code::kCorruption);
}

TEST(LargeHeader, RejectsReservedBytesAndTellsNewer) {
  const std::string bytes = EncodeLargeHeader({1, 2, 3});
  for (size_t at = 5; at < 56; at = at == 7 ? 32 : at + 1) {
    std::string changed = bytes;
    ASSERT_EQ(changed[at], '\0') << at;
    changed[at] = 1;
    ASSERT_EQ(DecodeLargeHeader(Bytes(ResealLarge(changed))).status().code(), Code::kCorruption)
        << at;
  }
  std::string newer = bytes;
  newer[4] = 2;
  EXPECT_EQ(DecodeLargeHeader(Bytes(ResealLarge(newer))).status().code(), Code::kUnsupported);
}

}  // namespace
}  // namespace lbox

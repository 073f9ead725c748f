#include "storage/rows.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include <gtest/gtest.h>

#include "storage/checksum.h"
#include "storage/coding.h"
#include "tests/unit/test_support.h"

namespace lbox {
namespace {

Guid GuidFrom(uint8_t first) {
  Guid guid;
  for (uint8_t& byte : guid.bytes) {
    byte = first++;
  }
  return guid;
}

MetaRow SomeMeta() {
  MetaRow row;
  row.uuid = GuidFrom(0x10);
  row.transaction = 0x0102030405060708;
  row.next_body_id = 0x1112131415161718;
  row.next_mailbox_id = 0x21222324;
  row.next_pack_id = 0x25262728;
  row.active_pack = 0x29303132;
  row.superseded = true;
  row.messages = 0x3132333435363738;
  row.physical_bytes = 0x4142434445464748;
  row.virtual_bytes = 0x5152535455565758;
  row.stored_bytes = 0x6162636465666768;
  row.pack_live_bytes = 0x7172737475767778;
  row.pack_bytes = 0x8182838485868788;
  row.large_count = 0x9192939495969798;
  row.large_bytes = 0xA1A2A3A4A5A6A7A8;
  row.copied = 0xB1B2B3B4B5B6B7B8;
  row.journaled = 0xC1C2C3C4C5C6C7C8;
  row.journal = 0xD1D2D3D4;
  row.journal_tail = 0xD5D6D7D8;
  row.changed = 0xE1E2E3E4;
  row.copied_at = 0xE5E6E7E8;
  row.boot = 0xF1F2F3F4;
  return row;
}

MailboxRow SomeMailbox() {
  MailboxRow row;
  row.guid = GuidFrom(0x30);
  row.uid_validity = 0x01020304;
  row.next_uid = 0x11121314;
  row.first_recent_uid = 0x21222324;
  row.modseq_ceiling = 0x3132333435363738;
  row.change = 0x4142434445464748;
  row.messages = 0x5152535455565758;
  row.physical_bytes = 0x6162636465666768;
  row.virtual_bytes = 0x7172737475767778;
  row.stored_bytes = 0x8182838485868788;
  return row;
}

Message SomeMessage() {
  Message row;
  row.uid = 0x01020304;
  row.body_id = 0x1112131415161718;
  row.guid = GuidFrom(0x40);
  row.received = -5;
  row.saved = 0x21222324;
  row.physical_size = 0x31323334;
  row.virtual_size = 0x41424344;
  row.retrieved = 0x51525354;
  row.keyword_bits = 0x81626364;
  row.flags = 0x1F;
  row.cause = Cause::kImport;
  row.has_extra = true;
  return row;
}

BodyRow SomeBody() {
  BodyRow row;
  row.pack = 0x01020304;
  row.offset = 0x11121314;
  row.record_bytes = 0x21222324;
  row.record_header_bytes = 0x31323334;
  row.references = 0x41424344;
  row.body_stored = 0x51525354;
  row.large_id = 0x6162636465666768;
  row.header_check = 0x71727374;
  return row;
}

PackRow SomePack() {
  PackRow row;
  row.tail = 0x0102030405060708;
  row.live_bytes = 0x1112131415161718;
  row.live_count = 0x21222324;
  row.created = 0x31323334;
  return row;
}

// Of no mailbox: sealed like the other rows.
std::array<uint8_t, kMessageRowBytes> Encode(const Message& row) {
  return Encode(row, 0);
}

template <typename Row>
std::string Text(const Row& row) {
  const auto bytes = Encode(row);
  return std::string(bytes.begin(), bytes.end());
}

// Every kind of value, as bytes and as what decoding says about other bytes.
struct Kind {
  const char* name;
  std::string bytes;
  std::function<Code(std::span<const uint8_t>)> decode;
};

std::vector<Kind> Kinds() {
  const MailboxCold cold{"INBOX/work", {"$Junk", "later"}};
  const MessageExtra extra{"1700000000.M1P2.host", "7.ab", 77, {32, 50}};
  return {
      {"meta", Text(SomeMeta()), [](auto data) { return DecodeMetaRow(data).status().code(); }},
      {"mailbox", Text(SomeMailbox()),
       [](auto data) { return DecodeMailboxRow(data).status().code(); }},
      {"message", Text(SomeMessage()),
       [](auto data) { return DecodeMessageRow(data, 0).status().code(); }},
      {"body", Text(SomeBody()), [](auto data) { return DecodeBodyRow(data).status().code(); }},
      {"pack", Text(SomePack()), [](auto data) { return DecodePackRow(data).status().code(); }},
      {"mailbox_cold", EncodeCold(cold),
       [](auto data) { return DecodeMailboxCold(data).status().code(); }},
      {"extra", EncodeCold(extra),
       [](auto data) { return DecodeMessageExtra(data).status().code(); }},
  };
}

// The same bytes with a right checksum at the end.
std::string Resealed(std::string bytes) {
  const size_t size = bytes.size() - 4;
  StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + size, Check32(Bytes(bytes).first(size)));
  return bytes;
}

TEST(Rows, AcceptsWhatItEncodes) {
  for (const Kind& kind : Kinds()) {
    EXPECT_EQ(kind.decode(Bytes(kind.bytes)), Code::kOk) << kind.name;
  }
}

TEST(Rows, RejectsEveryFlippedBit) {
  for (const Kind& kind : Kinds()) {
    for (size_t at = 0; at < kind.bytes.size(); at++) {
      for (int bit = 0; bit < 8; bit++) {
        std::string damaged = kind.bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
        ASSERT_EQ(kind.decode(Bytes(damaged)), Code::kCorruption) << kind.name << " byte " << at;
      }
    }
  }
}

TEST(Rows, RejectsEveryOtherLength) {
  for (const Kind& kind : Kinds()) {
    for (size_t size = 0; size < kind.bytes.size(); size++) {
      ASSERT_EQ(kind.decode(Bytes(kind.bytes).first(size)), Code::kCorruption)
          << kind.name << " cut at " << size;
    }
    ASSERT_EQ(kind.decode(Bytes(kind.bytes + '\0')), Code::kCorruption) << kind.name;
    ASSERT_EQ(kind.decode(Bytes(kind.bytes + kind.bytes)), Code::kCorruption) << kind.name;
    // Also when the checksum is right for that length.
    if (strcmp(kind.name, "mailbox_cold") != 0 && strcmp(kind.name, "extra") != 0) {
      ASSERT_EQ(kind.decode(Bytes(Resealed(kind.bytes + '\0'))), Code::kCorruption) << kind.name;
      ASSERT_EQ(kind.decode(Bytes(Resealed(kind.bytes.substr(1)))), Code::kCorruption) << kind.name;
    }
  }
}

TEST(Rows, RejectsReservedBytesInUse) {
  const struct {
    const char* name;
    std::string bytes;
    std::vector<std::pair<size_t, size_t>> reserved;  // offset, size; docs/format.md
  } cases[] = {
      {"meta", Text(SomeMeta()), {{53, 3}}},
      {"mailbox", Text(SomeMailbox()), {{28, 4}, {80, 12}}},
      {"message", Text(SomeMessage()), {{7, 1}}},
      {"pack", Text(SomePack()), {{24, 4}}},
  };
  for (const auto& c : cases) {
    const auto kinds = Kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const Kind& k) { return strcmp(k.name, c.name) == 0; });
    for (const auto& [offset, size] : c.reserved) {
      for (size_t at = offset; at < offset + size; at++) {
        std::string changed = c.bytes;
        ASSERT_EQ(changed[at], '\0') << c.name << " byte " << at;
        changed[at] = 1;
        ASSERT_EQ(kind->decode(Bytes(Resealed(changed))), Code::kCorruption)
            << c.name << " byte " << at;
      }
    }
  }
  std::string bits = Text(SomeMessage());
  bits[6] = 2;
  EXPECT_EQ(DecodeMessageRow(Bytes(Resealed(bits)), 0).status().code(), Code::kCorruption);
  bits = Text(SomeMeta());
  bits[52] = 2;
  EXPECT_EQ(DecodeMetaRow(Bytes(Resealed(bits))).status().code(), Code::kCorruption);
  // Format 1 had nothing from byte 120 on.
  MetaRow first = SomeMeta();
  first.format = kFirstStoreFormat;
  std::string old = Text(first);
  EXPECT_EQ(DecodeMetaRow(Bytes(old))->changed, 0u);
  old[144] = 1;
  EXPECT_EQ(DecodeMetaRow(Bytes(Resealed(old))).status().code(), Code::kCorruption);
}

TEST(Rows, TellsANewerFormatFromDamage) {
  std::string newer = Text(SomeMeta());
  newer[4] = 3;
  EXPECT_EQ(DecodeMetaRow(Bytes(newer)).status().code(), Code::kCorruption);
  const Status status = DecodeMetaRow(Bytes(Resealed(newer))).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_EQ(status.message(), "the store has format 3; this version of lbox reads up to 2");
  // Even when its row is longer.
  EXPECT_EQ(DecodeMetaRow(Bytes(Resealed(newer + std::string(40, 'x')))).status().code(),
            Code::kUnsupported);
  newer[4] = 0;
  EXPECT_EQ(DecodeMetaRow(Bytes(Resealed(newer))).status().code(), Code::kCorruption);
}

TEST(Rows, MetaRoundTrip) {
  const MetaRow in = SomeMeta();
  const auto out = DecodeMetaRow(Encode(in));
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->format, kStoreFormat);
  EXPECT_EQ(out->uuid, in.uuid);
  EXPECT_EQ(out->transaction, in.transaction);
  EXPECT_EQ(out->next_body_id, in.next_body_id);
  EXPECT_EQ(out->next_mailbox_id, in.next_mailbox_id);
  EXPECT_EQ(out->next_pack_id, in.next_pack_id);
  EXPECT_EQ(out->active_pack, in.active_pack);
  EXPECT_EQ(out->superseded, in.superseded);
  EXPECT_EQ(out->messages, in.messages);
  EXPECT_EQ(out->physical_bytes, in.physical_bytes);
  EXPECT_EQ(out->virtual_bytes, in.virtual_bytes);
  EXPECT_EQ(out->stored_bytes, in.stored_bytes);
  EXPECT_EQ(out->pack_live_bytes, in.pack_live_bytes);
  EXPECT_EQ(out->pack_bytes, in.pack_bytes);
  EXPECT_EQ(out->large_count, in.large_count);
  EXPECT_EQ(out->large_bytes, in.large_bytes);
  EXPECT_EQ(out->copied, in.copied);
  EXPECT_EQ(out->journaled, in.journaled);
  EXPECT_EQ(out->journal, in.journal);
  EXPECT_EQ(out->journal_tail, in.journal_tail);
  EXPECT_EQ(out->changed, in.changed);
  EXPECT_EQ(out->copied_at, in.copied_at);
  EXPECT_EQ(out->boot, in.boot);
  EXPECT_FALSE(DecodeMetaRow(Encode(MetaRow()))->superseded);
}

TEST(Rows, MailboxRoundTrip) {
  const MailboxRow in = SomeMailbox();
  const auto out = DecodeMailboxRow(Encode(in));
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->guid, in.guid);
  EXPECT_EQ(out->uid_validity, in.uid_validity);
  EXPECT_EQ(out->next_uid, in.next_uid);
  EXPECT_EQ(out->first_recent_uid, in.first_recent_uid);
  EXPECT_EQ(out->modseq_ceiling, in.modseq_ceiling);
  EXPECT_EQ(out->change, in.change);
  EXPECT_EQ(out->messages, in.messages);
  EXPECT_EQ(out->physical_bytes, in.physical_bytes);
  EXPECT_EQ(out->virtual_bytes, in.virtual_bytes);
  EXPECT_EQ(out->stored_bytes, in.stored_bytes);
}

TEST(Rows, MessageRoundTrip) {
  const Message in = SomeMessage();
  const auto out = DecodeMessageRow(Encode(in, 7), 7);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->uid, in.uid);
  EXPECT_EQ(out->body_id, in.body_id);
  EXPECT_EQ(out->guid, in.guid);
  EXPECT_EQ(out->received, in.received);
  EXPECT_EQ(out->saved, in.saved);
  EXPECT_EQ(out->physical_size, in.physical_size);
  EXPECT_EQ(out->virtual_size, in.virtual_size);
  EXPECT_EQ(out->retrieved, in.retrieved);
  EXPECT_EQ(out->keyword_bits, in.keyword_bits);
  EXPECT_EQ(out->flags, in.flags);
  EXPECT_EQ(out->cause, in.cause);
  EXPECT_EQ(out->has_extra, in.has_extra);
  EXPECT_FALSE(DecodeMessageRow(Encode(Message()), 0)->has_extra);
}

// Where a damaged index leads to another mailbox's rows.
TEST(Rows, AMessageRowIsOfOneMailbox) {
  const Message in = SomeMessage();
  for (const uint32_t mailbox : {1u, 2u, 3u, 256u, 0xFFFFFFFFu}) {
    for (const uint32_t other : {1u, 2u, 3u, 256u, 0xFFFFFFFFu}) {
      EXPECT_EQ(DecodeMessageRow(Encode(in, mailbox), other).ok(), mailbox == other);
    }
    EXPECT_TRUE(DecodeMessageRow(Encode(in, 0), mailbox).ok()) << "as the first stores have them";
  }
}

TEST(Rows, MessagesSortByUid) {
  std::vector<std::string> rows;
  for (const uint32_t uid :
       {1u, 2u, 255u, 256u, 65535u, 65536u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) {
    Message row;
    row.uid = uid;
    rows.push_back(Text(row));
  }
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return memcmp(a.data(), b.data(), kMessageRowBytes) < 0;
  }));
}

TEST(Rows, BodyRoundTrip) {
  const BodyRow in = SomeBody();
  const auto out = DecodeBodyRow(Encode(in));
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->pack, in.pack);
  EXPECT_EQ(out->offset, in.offset);
  EXPECT_EQ(out->record_bytes, in.record_bytes);
  EXPECT_EQ(out->record_header_bytes, in.record_header_bytes);
  EXPECT_EQ(out->references, in.references);
  EXPECT_EQ(out->body_stored, in.body_stored);
  EXPECT_EQ(out->large_id, in.large_id);
  EXPECT_EQ(out->header_check, in.header_check);
}

TEST(Rows, PackRoundTrip) {
  const PackRow in = SomePack();
  const auto out = DecodePackRow(Encode(in));
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->tail, in.tail);
  EXPECT_EQ(out->live_bytes, in.live_bytes);
  EXPECT_EQ(out->live_count, in.live_count);
  EXPECT_EQ(out->created, in.created);
}

TEST(Rows, ColdRoundTrip) {
  // Names are bytes: not all of them are UTF-8, and an empty keyword keeps its number.
  const std::string odd("\xff\x00\xc0/x", 5);
  const auto cold = DecodeMailboxCold(Bytes(EncodeCold(MailboxCold{odd, {"a", "", odd, "a"}})));
  ASSERT_TRUE(cold.ok());
  EXPECT_EQ(cold->name, odd);
  EXPECT_EQ(cold->keywords, (std::vector<std::string>{"a", "", odd, "a"}));
  ASSERT_TRUE(DecodeMailboxCold(Bytes(EncodeCold(MailboxCold()))).ok());

  const auto extra = DecodeMessageExtra(
      Bytes(EncodeCold(MessageExtra{odd, std::string(300, 'u'), 0xFFFFFFFF, {32, 33, 70000}})));
  ASSERT_TRUE(extra.ok());
  EXPECT_EQ(extra->original_guid, odd);
  EXPECT_EQ(extra->pop3_uidl, std::string(300, 'u'));
  EXPECT_EQ(extra->pop3_order, 0xFFFFFFFFu);
  EXPECT_EQ(extra->keywords, (std::vector<uint32_t>{32, 33, 70000}));
}

TEST(Rows, RejectsAColdValueThatIsNoProtobuf) {
  const std::string bad = Resealed("\x0a\x7fshort" + std::string(4, '\0'));
  EXPECT_EQ(DecodeMailboxCold(Bytes(bad)).status().code(), Code::kCorruption);
  EXPECT_EQ(DecodeMessageExtra(Bytes(bad)).status().code(), Code::kCorruption);
}

}  // namespace
}  // namespace lbox

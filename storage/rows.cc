#include "storage/rows.h"

#include "storage/checksum.h"
#include "storage/coding.h"
#include "storage/protobuf.h"

namespace lbox {
namespace {

constexpr uint32_t kMetaMagic = 0x584F424C;  // "LBOX"
constexpr size_t kCheckBytes = 4;
constexpr uint32_t kMetaSuperseded = 1;
constexpr uint8_t kMessageHasExtra = 1;

Status Corrupt(const char* row, const char* why) {
  return Status(Code::kCorruption, std::string(row) + " row: " + why);
}

template <size_t kSize>
void Seal(std::array<uint8_t, kSize>& bytes, Encoder& encoder) {
  assert(encoder.position() == kSize - kCheckBytes);
  encoder.U32(Check32(std::span(bytes).first(kSize - kCheckBytes)));
}

// The last four bytes of every row, of whatever format, are the checksum of those before.
bool Sealed(std::span<const uint8_t> data) {
  if (data.size() < kCheckBytes) {
    return false;
  }
  const auto sealed = data.first(data.size() - kCheckBytes);
  return LoadLittle<uint32_t>(data.data() + sealed.size()) == Check32(sealed);
}

// What a mailbox's id adds to the checks of its message rows; different for any two.
uint32_t MailboxMark(uint32_t mailbox) {
  return mailbox * 0x9E3779B1;
}

uint32_t CheckOf(std::span<const uint8_t> row) {
  return LoadLittle<uint32_t>(row.data() + row.size() - kCheckBytes);
}

Status CheckRow(const char* row, std::span<const uint8_t> data, size_t size) {
  if (data.size() != size) {
    return Status(Code::kCorruption, std::string(row) + " row: " + std::to_string(data.size()) +
                                         " bytes instead of " + std::to_string(size));
  }
  if (!Sealed(data)) {
    return Corrupt(row, "wrong checksum");
  }
  return {};
}

// A cold value is the protobuf followed by the same checksum as a row's.
std::string SealCold(std::string bytes) {
  uint8_t check[kCheckBytes];
  StoreLittle(check, static_cast<uint32_t>(Hash64(bytes.data(), bytes.size())));
  bytes.append(check, check + kCheckBytes);
  return bytes;
}

template <typename Visit>
Status OpenCold(const char* row, std::span<const uint8_t> data, Visit visit) {
  if (!Sealed(data)) {
    return Corrupt(row, "wrong checksum");
  }
  return ReadProtobuf(data.first(data.size() - kCheckBytes), visit)
             ? Status()
             : Corrupt(row, "no valid protobuf");
}

}  // namespace

bool RowSealed(std::span<const uint8_t> row) {
  return Sealed(row);
}

std::array<uint8_t, kMetaRowBytes> Encode(const MetaRow& row) {
  std::array<uint8_t, kMetaRowBytes> bytes;
  Encoder out(bytes);
  out.U32(kMetaMagic);
  out.U32(row.format);
  out.Id(row.uuid);
  out.U64(row.transaction);
  out.U64(row.next_body_id);
  out.U32(row.next_mailbox_id);
  out.U32(row.next_pack_id);
  out.U32(row.active_pack);
  out.U32(row.superseded ? kMetaSuperseded : 0);
  out.U64(row.messages);
  out.U64(row.physical_bytes);
  out.U64(row.virtual_bytes);
  out.U64(row.stored_bytes);
  out.U64(row.pack_live_bytes);
  out.U64(row.pack_bytes);
  out.U64(row.large_count);
  out.U64(row.large_bytes);
  if (row.format == kFirstStoreFormat) {
    out.Zero(36);
  } else {
    out.U64(row.copied);
    out.U64(row.journaled);
    out.U32(row.journal);
    out.U32(row.journal_tail);
    out.U32(row.changed);
    out.U32(row.copied_at);
    out.U32(row.boot);
  }
  Seal(bytes, out);
  return bytes;
}

Result<MetaRow> DecodeMetaRow(std::span<const uint8_t> data) {
  // A newer format may have a longer row, but starts with the same two fields and ends with a
  // checksum.
  constexpr size_t kStart = 8;
  if (data.size() < kStart + kCheckBytes) {
    return CheckRow("meta", data, kMetaRowBytes);
  }
  if (!Sealed(data)) {
    return Corrupt("meta", "wrong checksum");
  }
  Decoder in(data);
  if (in.U32() != kMetaMagic) {
    return Corrupt("meta", "wrong magic number");
  }
  MetaRow row;
  row.format = in.U32();
  if (row.format > kStoreFormat) {
    return Status(Code::kUnsupported, "the store has format " + std::to_string(row.format) +
                                          "; this version of lbox reads up to " +
                                          std::to_string(kStoreFormat));
  }
  if (row.format == 0) {
    return Corrupt("meta", "format 0");
  }
  if (Status status = CheckRow("meta", data, kMetaRowBytes); !status.ok()) {
    return status;
  }
  row.uuid = in.Id();
  row.transaction = in.U64();
  row.next_body_id = in.U64();
  row.next_mailbox_id = in.U32();
  row.next_pack_id = in.U32();
  row.active_pack = in.U32();
  const uint32_t bits = in.U32();
  row.superseded = (bits & kMetaSuperseded) != 0;
  row.messages = in.U64();
  row.physical_bytes = in.U64();
  row.virtual_bytes = in.U64();
  row.stored_bytes = in.U64();
  row.pack_live_bytes = in.U64();
  row.pack_bytes = in.U64();
  row.large_count = in.U64();
  row.large_bytes = in.U64();
  row.copied = in.U64();
  row.journaled = in.U64();
  row.journal = in.U32();
  row.journal_tail = in.U32();
  row.changed = in.U32();
  row.copied_at = in.U32();
  row.boot = in.U32();
  const bool has_journal = (row.copied | row.journaled | row.journal | row.journal_tail |
                            row.changed | row.copied_at | row.boot) != 0;
  if ((bits & ~kMetaSuperseded) != 0 || (row.format == kFirstStoreFormat && has_journal)) {
    return Corrupt("meta", "reserved bytes in use");
  }
  return row;
}

std::array<uint8_t, kMailboxRowBytes> Encode(const MailboxRow& row) {
  std::array<uint8_t, kMailboxRowBytes> bytes;
  Encoder out(bytes);
  out.Id(row.guid);
  out.U32(row.uid_validity);
  out.U32(row.next_uid);
  out.U32(row.first_recent_uid);
  out.Zero(4);
  out.U64(row.modseq_ceiling);
  out.U64(row.change);
  out.U64(row.messages);
  out.U64(row.physical_bytes);
  out.U64(row.virtual_bytes);
  out.U64(row.stored_bytes);
  out.Zero(12);
  Seal(bytes, out);
  return bytes;
}

Result<MailboxRow> DecodeMailboxRow(std::span<const uint8_t> data) {
  if (Status status = CheckRow("mailbox", data, kMailboxRowBytes); !status.ok()) {
    return status;
  }
  MailboxRow row;
  Decoder in(data);
  row.guid = in.Id();
  row.uid_validity = in.U32();
  row.next_uid = in.U32();
  row.first_recent_uid = in.U32();
  const bool zero = in.Zero(4);
  row.modseq_ceiling = in.U64();
  row.change = in.U64();
  row.messages = in.U64();
  row.physical_bytes = in.U64();
  row.virtual_bytes = in.U64();
  row.stored_bytes = in.U64();
  if (!in.Zero(12) || !zero) {
    return Corrupt("mailbox", "reserved bytes in use");
  }
  return row;
}

bool MessageRowSealed(std::span<const uint8_t> data, uint32_t mailbox) {
  if (data.size() != kMessageRowBytes) {
    return false;
  }
  const uint32_t mark = CheckOf(data) ^ Check32(data.first(kMessageRowBytes - kCheckBytes));
  return mark == MailboxMark(mailbox) || mark == 0;  // rows of the first stores are not marked
}

std::array<uint8_t, kMessageRowBytes> Encode(const Message& row, uint32_t mailbox) {
  std::array<uint8_t, kMessageRowBytes> bytes;
  Encoder out(bytes);
  out.BigU32(row.uid);
  out.U8(row.flags);
  out.U8(static_cast<uint8_t>(row.cause));
  out.U8(row.has_extra ? kMessageHasExtra : 0);
  out.Zero(1);
  out.U64(row.body_id);
  out.Id(row.guid);
  out.I64(row.received);
  out.U32(row.saved);
  out.U32(row.physical_size);
  out.U32(row.virtual_size);
  out.U32(row.retrieved);
  out.U32(row.keyword_bits);
  Seal(bytes, out);
  StoreLittle(bytes.data() + kMessageRowBytes - kCheckBytes, CheckOf(bytes) ^ MailboxMark(mailbox));
  return bytes;
}

Result<Message> DecodeMessageRow(std::span<const uint8_t> data, uint32_t mailbox) {
  if (!MessageRowSealed(data, mailbox)) {
    if (Status status = CheckRow("message", data, kMessageRowBytes); !status.ok()) {
      return status;
    }
  }
  Message row;
  Decoder in(data);
  row.uid = in.BigU32();
  row.flags = in.U8();
  row.cause = static_cast<Cause>(in.U8());
  const uint8_t bits = in.U8();
  row.has_extra = (bits & kMessageHasExtra) != 0;
  if (!in.Zero(1) || (bits & ~kMessageHasExtra) != 0) {
    return Corrupt("message", "reserved bytes in use");
  }
  row.body_id = in.U64();
  row.guid = in.Id();
  row.received = in.I64();
  row.saved = in.U32();
  row.physical_size = in.U32();
  row.virtual_size = in.U32();
  row.retrieved = in.U32();
  row.keyword_bits = in.U32();
  return row;
}

std::array<uint8_t, kBodyRowBytes> Encode(const BodyRow& row) {
  std::array<uint8_t, kBodyRowBytes> bytes;
  Encoder out(bytes);
  out.U32(row.pack);
  out.U32(row.offset);
  out.U32(row.record_bytes);
  out.U32(row.record_header_bytes);
  out.U32(row.references);
  out.U32(row.body_stored);
  out.U64(row.large_id);
  out.U32(row.header_check);
  Seal(bytes, out);
  return bytes;
}

Result<BodyRow> DecodeBodyRow(std::span<const uint8_t> data) {
  if (Status status = CheckRow("body", data, kBodyRowBytes); !status.ok()) {
    return status;
  }
  BodyRow row;
  Decoder in(data);
  row.pack = in.U32();
  row.offset = in.U32();
  row.record_bytes = in.U32();
  row.record_header_bytes = in.U32();
  row.references = in.U32();
  row.body_stored = in.U32();
  row.large_id = in.U64();
  row.header_check = in.U32();
  return row;
}

std::array<uint8_t, kPackRowBytes> Encode(const PackRow& row) {
  std::array<uint8_t, kPackRowBytes> bytes;
  Encoder out(bytes);
  out.U64(row.tail);
  out.U64(row.live_bytes);
  out.U32(row.live_count);
  out.U32(row.created);
  out.Zero(4);
  Seal(bytes, out);
  return bytes;
}

Result<PackRow> DecodePackRow(std::span<const uint8_t> data) {
  if (Status status = CheckRow("pack", data, kPackRowBytes); !status.ok()) {
    return status;
  }
  PackRow row;
  Decoder in(data);
  row.tail = in.U64();
  row.live_bytes = in.U64();
  row.live_count = in.U32();
  row.created = in.U32();
  if (!in.Zero(4)) {
    return Corrupt("pack", "reserved bytes in use");
  }
  return row;
}

std::string EncodeCold(const MailboxCold& cold) {
  std::string bytes;
  ProtobufWriter message(bytes);
  message.Bytes(1, cold.name);
  message.Each(2, cold.keywords);
  return SealCold(std::move(bytes));
}

Result<MailboxCold> DecodeMailboxCold(std::span<const uint8_t> data) {
  MailboxCold cold;
  Status status = OpenCold("mailbox_cold", data, [&](ProtobufField& field) {
    field.Bytes(1, cold.name);
    field.Each(2, cold.keywords);
  });
  return status.ok() ? Result<MailboxCold>(std::move(cold)) : status;
}

std::string EncodeCold(const MessageExtra& extra) {
  std::string bytes;
  ProtobufWriter message(bytes);
  message.Bytes(1, extra.original_guid);
  message.Bytes(2, extra.pop3_uidl);
  message.Number(3, extra.pop3_order);
  message.Each(4, extra.keywords);
  return SealCold(std::move(bytes));
}

Result<MessageExtra> DecodeMessageExtra(std::span<const uint8_t> data) {
  MessageExtra extra;
  Status status = OpenCold("extra", data, [&](ProtobufField& field) {
    field.Bytes(1, extra.original_guid);
    field.Bytes(2, extra.pop3_uidl);
    field.Number(3, extra.pop3_order);
    field.Each(4, extra.keywords);
  });
  return status.ok() ? Result<MessageExtra>(std::move(extra)) : status;
}

}  // namespace lbox

#include "storage/journal_record.h"

#include <algorithm>

#include "storage/checksum.h"
#include "storage/coding.h"
#include "storage/protobuf.h"

namespace lbox {
namespace {

constexpr uint32_t kFrameMagic = 0x4A58424C;  // "LBXJ"
constexpr size_t kHashAt = 48;

Status Corrupt(const char* why) {
  return Status(Code::kCorruption, std::string("journal: ") + why);
}

std::string_view ToBytes(const Guid& guid) {
  return {reinterpret_cast<const char*>(guid.bytes.data()), guid.bytes.size()};
}

// Of 16 bytes; no bytes are the empty one.
bool FromBytes(const std::string& bytes, Guid& guid) {
  guid = Guid();
  if (bytes.size() == guid.bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), guid.bytes.begin());
  }
  return bytes.empty() || bytes.size() == guid.bytes.size();
}

uint64_t FrameHash(std::span<const uint8_t> frame, size_t payload) {
  Hasher hasher;
  hasher.Update(frame.data(), kHashAt);
  hasher.Update(frame.data() + kJournalFrameBytes, payload);
  return hasher.Digest();
}

size_t Padded(size_t size) {
  return (size + kJournalAlignment - 1) / kJournalAlignment * kJournalAlignment;
}

// The messages of journal.proto.
std::string Encode(const Change& change) {
  std::string bytes;
  ProtobufWriter out(bytes);
  out.Number(1, static_cast<uint32_t>(change.kind));
  out.Number(2, change.uid1);
  out.Number(3, change.uid2);
  out.Number(4, change.add_flags);
  out.Number(5, change.remove_flags);
  out.Bytes(6, change.text);
  out.Number(7, change.time);
  return bytes;
}

bool Decode(std::span<const uint8_t> data, Change& change) {
  uint32_t kind = 0, add = 0, remove = 0;
  const bool whole = ReadProtobuf(data, [&](ProtobufField& field) {
    field.Number(1, kind);
    field.Number(2, change.uid1);
    field.Number(3, change.uid2);
    field.Number(4, add);
    field.Number(5, remove);
    field.Bytes(6, change.text);
    field.Number(7, change.time);
  });
  change.kind = static_cast<Change::Kind>(kind);
  change.add_flags = static_cast<uint8_t>(add);
  change.remove_flags = static_cast<uint8_t>(remove);
  return whole && kind <= static_cast<uint32_t>(Change::Kind::kRetrieved) && add <= UINT8_MAX &&
         remove <= UINT8_MAX;
}

std::string Encode(const JournalCopy& copy) {
  std::string bytes;
  ProtobufWriter out(bytes);
  out.Number(1, copy.message.uid);
  out.Number(2, copy.message.body_id);
  out.Bytes(3, ToBytes(copy.message.guid));
  out.Signed(4, copy.message.received);
  out.Number(5, copy.message.saved);
  out.Number(6, copy.message.flags);
  out.Number(7, static_cast<uint32_t>(copy.message.cause));
  out.Number(8, copy.message.physical_size);
  out.Number(9, copy.message.virtual_size);
  out.Each(10, copy.keywords);
  out.Bytes(11, copy.original_guid);
  out.Bytes(12, copy.pop3_uidl);
  out.Number(13, copy.pop3_order);
  out.Bytes(14, ToBytes(copy.source_mailbox));
  out.Number(15, copy.source_uid);
  return bytes;
}

bool Decode(std::span<const uint8_t> data, JournalCopy& copy) {
  uint32_t flags = 0, cause = 0;
  std::string guid, source;
  const bool whole = ReadProtobuf(data, [&](ProtobufField& field) {
    field.Number(1, copy.message.uid);
    field.Number(2, copy.message.body_id);
    field.Bytes(3, guid);
    field.Signed(4, copy.message.received);
    field.Number(5, copy.message.saved);
    field.Number(6, flags);
    field.Number(7, cause);
    field.Number(8, copy.message.physical_size);
    field.Number(9, copy.message.virtual_size);
    field.Each(10, copy.keywords);
    field.Bytes(11, copy.original_guid);
    field.Bytes(12, copy.pop3_uidl);
    field.Number(13, copy.pop3_order);
    field.Bytes(14, source);
    field.Number(15, copy.source_uid);
  });
  copy.message.flags = static_cast<uint8_t>(flags);
  copy.message.cause = static_cast<Cause>(cause);
  return whole && flags <= UINT8_MAX && cause <= UINT8_MAX && FromBytes(guid, copy.message.guid) &&
         FromBytes(source, copy.source_mailbox);
}

std::string Encode(const JournalState& state) {
  std::string bytes;
  ProtobufWriter out(bytes);
  out.Bytes(1, ToBytes(state.guid));
  out.Bytes(2, state.name);
  out.Number(3, state.uid_validity);
  out.Number(4, state.first_recent_uid);
  out.Number(5, state.modseq_ceiling);
  return bytes;
}

bool Decode(std::span<const uint8_t> data, JournalState& state) {
  std::string guid;
  const bool whole = ReadProtobuf(data, [&](ProtobufField& field) {
    field.Bytes(1, guid);
    field.Bytes(2, state.name);
    field.Number(3, state.uid_validity);
    field.Number(4, state.first_recent_uid);
    field.Number(5, state.modseq_ceiling);
  });
  return whole && FromBytes(guid, state.guid);
}

std::string EncodePayload(const JournalRecord& record) {
  std::string bytes;
  ProtobufWriter out(bytes);
  out.Bytes(1, ToBytes(record.mailbox));
  out.Number(2, record.next_uid);
  out.Number(3, record.saved);
  for (const Change& change : record.changes) {
    out.Message(4, Encode(change));
  }
  for (const JournalCopy& copy : record.copies) {
    out.Message(5, Encode(copy));
  }
  if (record.state.has_value()) {
    out.Message(6, Encode(*record.state));
  }
  out.Number(7, record.removed ? 1 : 0);
  return bytes;
}

bool DecodePayload(std::span<const uint8_t> data, JournalRecord& record) {
  bool valid = true;
  std::string mailbox;
  const bool whole = ReadProtobuf(data, [&](ProtobufField& field) {
    field.Bytes(1, mailbox);
    field.Number(2, record.next_uid);
    field.Number(3, record.saved);
    field.Message(4, [&](auto bytes) { valid &= Decode(bytes, record.changes.emplace_back()); });
    field.Message(5, [&](auto bytes) { valid &= Decode(bytes, record.copies.emplace_back()); });
    field.Message(6, [&](auto bytes) { valid &= Decode(bytes, record.state.emplace()); });
    field.Number(7, record.removed);
  });
  return whole && valid && FromBytes(mailbox, record.mailbox);
}

}  // namespace

Result<std::string> EncodeJournalFrame(const JournalFrame& frame) {
  const std::string payload = EncodePayload(frame.record);
  if (payload.size() > kMaxJournalPayloadBytes) {
    return Status(Code::kInvalid, "the transaction is too long for the journal: " +
                                      std::to_string(payload.size()) + " bytes");
  }
  std::string bytes(kJournalFrameBytes, '\0');
  bytes += payload;
  bytes.resize(Padded(bytes.size()));
  const std::span<uint8_t> data(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
  Encoder out(data);
  out.U32(kFrameMagic);
  out.U32(static_cast<uint32_t>(payload.size()));
  out.U64(frame.transaction);
  out.U64(frame.previous);
  out.Id(frame.store);
  out.U32(frame.boot);
  out.Zero(4);
  assert(out.position() == kHashAt);
  out.U64(FrameHash(data, payload.size()));
  return bytes;
}

Result<size_t> JournalFrameSpan(std::span<const uint8_t> data) {
  if (data.size() < kJournalFrameBytes || LoadLittle<uint32_t>(data.data()) != kFrameMagic) {
    return Corrupt("no frame here");
  }
  const auto payload = LoadLittle<uint32_t>(data.data() + 4);
  if (payload > kMaxJournalPayloadBytes) {
    return Corrupt("impossible length");
  }
  return Padded(kJournalFrameBytes + payload);
}

Result<JournalFrame> DecodeJournalFrame(std::span<const uint8_t> data) {
  const auto span = JournalFrameSpan(data);
  if (!span.ok()) {
    return span.status();
  }
  if (data.size() < *span) {
    return Corrupt("a frame is cut short");
  }
  JournalFrame frame;
  Decoder in(data);
  (void)in.U32();  // magic
  const size_t payload = in.U32();
  frame.transaction = in.U64();
  frame.previous = in.U64();
  frame.store = in.Id();
  frame.boot = in.U32();
  const bool zero = in.Zero(4);
  if (in.U64() != FrameHash(data, payload)) {
    return Corrupt("wrong hash");
  }
  if (!zero || !DecodePayload(data.subspan(kJournalFrameBytes, payload), frame.record)) {
    return Corrupt("no valid record");
  }
  return frame;
}

}  // namespace lbox

#include "storage/journal_record.h"

#include <algorithm>

#include "journal.pb.h"
#include "storage/checksum.h"
#include "storage/coding.h"

namespace lbox {
namespace {

constexpr uint32_t kFrameMagic = 0x4A58424C;  // "LBXJ"
constexpr size_t kHashAt = 48;

Status Corrupt(const char* why) {
  return Status(Code::kCorruption, std::string("journal: ") + why);
}

std::string ToBytes(const Guid& guid) {
  return std::string(guid.bytes.begin(), guid.bytes.end());
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

void Fill(pb::JournalCopy& to, const JournalCopy& from) {
  to.set_uid(from.message.uid);
  to.set_body_id(from.message.body_id);
  to.set_guid(ToBytes(from.message.guid));
  to.set_received(from.message.received);
  to.set_saved(from.message.saved);
  to.set_flags(from.message.flags);
  to.set_cause(static_cast<uint32_t>(from.message.cause));
  to.set_physical_size(from.message.physical_size);
  to.set_virtual_size(from.message.virtual_size);
  for (const std::string& keyword : from.keywords) {
    to.add_keywords(keyword);
  }
  to.set_original_guid(from.original_guid);
  to.set_pop3_uidl(from.pop3_uidl);
  to.set_pop3_order(from.pop3_order);
  to.set_source_mailbox(ToBytes(from.source_mailbox));
  to.set_source_uid(from.source_uid);
}

std::string EncodePayload(const JournalRecord& record) {
  pb::JournalRecord message;
  message.set_mailbox(ToBytes(record.mailbox));
  message.set_next_uid(record.next_uid);
  message.set_saved(record.saved);
  for (const Change& change : record.changes) {
    pb::JournalChange& to = *message.add_changes();
    to.set_kind(static_cast<uint32_t>(change.kind));
    to.set_uid1(change.uid1);
    to.set_uid2(change.uid2);
    to.set_add_flags(change.add_flags);
    to.set_remove_flags(change.remove_flags);
    to.set_text(change.text);
    to.set_time(change.time);
  }
  for (const JournalCopy& copy : record.copies) {
    Fill(*message.add_copies(), copy);
  }
  if (record.state.has_value()) {
    pb::JournalState& to = *message.mutable_state();
    to.set_guid(ToBytes(record.state->guid));
    to.set_name(record.state->name);
    to.set_uid_validity(record.state->uid_validity);
    to.set_first_recent_uid(record.state->first_recent_uid);
    to.set_modseq_ceiling(record.state->modseq_ceiling);
  }
  message.set_removed(record.removed);
  std::string bytes;
  // Fails only beyond 2 GiB or without a required field, which proto3 does not have.
  [[maybe_unused]] const bool ok = message.SerializeToString(&bytes);
  assert(ok);
  return bytes;
}

bool Take(const pb::JournalCopy& from, JournalCopy& to) {
  to.message.uid = from.uid();
  to.message.body_id = from.body_id();
  to.message.received = from.received();
  to.message.saved = from.saved();
  to.message.flags = static_cast<uint8_t>(from.flags());
  to.message.cause = static_cast<Cause>(from.cause());
  to.message.physical_size = from.physical_size();
  to.message.virtual_size = from.virtual_size();
  to.keywords.assign(from.keywords().begin(), from.keywords().end());
  to.original_guid = from.original_guid();
  to.pop3_uidl = from.pop3_uidl();
  to.pop3_order = from.pop3_order();
  to.source_uid = from.source_uid();
  return from.flags() <= UINT8_MAX && from.cause() <= UINT8_MAX &&
         FromBytes(from.guid(), to.message.guid) &&
         FromBytes(from.source_mailbox(), to.source_mailbox);
}

bool DecodePayload(std::span<const uint8_t> data, JournalRecord& record) {
  pb::JournalRecord message;
  if (!message.ParseFromArray(data.data(), static_cast<int>(data.size())) ||
      !FromBytes(message.mailbox(), record.mailbox)) {
    return false;
  }
  record.next_uid = message.next_uid();
  record.saved = message.saved();
  for (const pb::JournalChange& from : message.changes()) {
    if (from.kind() > static_cast<uint32_t>(Change::Kind::kRetrieved) ||
        from.add_flags() > UINT8_MAX || from.remove_flags() > UINT8_MAX) {
      return false;
    }
    Change& to = record.changes.emplace_back();
    to.kind = static_cast<Change::Kind>(from.kind());
    to.uid1 = from.uid1();
    to.uid2 = from.uid2();
    to.add_flags = static_cast<uint8_t>(from.add_flags());
    to.remove_flags = static_cast<uint8_t>(from.remove_flags());
    to.text = from.text();
    to.time = from.time();
  }
  for (const pb::JournalCopy& from : message.copies()) {
    if (!Take(from, record.copies.emplace_back())) {
      return false;
    }
  }
  if (message.has_state()) {
    JournalState& to = record.state.emplace();
    to.name = message.state().name();
    to.uid_validity = message.state().uid_validity();
    to.first_recent_uid = message.state().first_recent_uid();
    to.modseq_ceiling = message.state().modseq_ceiling();
    if (!FromBytes(message.state().guid(), to.guid)) {
      return false;
    }
  }
  record.removed = message.removed();
  return true;
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

#include "storage/found_record.h"

#include "storage/checksum.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

bool FramesWhole(std::span<const uint8_t> frames, const PackRecord& record) {
  return Hash64(frames.first(record.header_stored)) == record.header_hash &&
         (record.large_id != 0 ||
          Hash64(frames.subspan(record.header_stored, record.body_stored)) == record.body_hash);
}

}  // namespace

std::optional<RecordAt> FindRecordAt(std::span<const uint8_t> data, const Guid& store,
                                     uint32_t pack, uint64_t offset) {
  if (data.size() < kPackRecordFixedBytes) {
    return std::nullopt;
  }
  const auto header_bytes = PackRecordHeaderBytes(data);
  if (!header_bytes.ok() || *header_bytes > data.size()) {
    return std::nullopt;
  }
  auto record = DecodePackRecord(data);
  if (!record.ok() || (record->store != store && !store.empty())) {
    return std::nullopt;
  }
  const uint64_t frames =
      uint64_t{record->header_stored} + (record->large_id == 0 ? record->body_stored : 0);
  if (frames > data.size() - *header_bytes) {
    return std::nullopt;
  }
  FoundRecord found;
  found.transaction = record->transaction;
  found.body_id = record->body_id;
  found.pack = pack;
  found.offset = static_cast<uint32_t>(offset);
  found.span = static_cast<uint32_t>(PackRecordSpan(*header_bytes, *record));
  found.header_bytes = static_cast<uint32_t>(*header_bytes);
  found.check = PackRecordCheck(data);
  found.uid = record->uid;
  found.frames_whole = FramesWhole(data.subspan(*header_bytes), *record);
  return RecordAt{std::move(*record), found};
}

BodyRow BodyRowOf(const FoundRecord& found, const PackRecord& record) {
  BodyRow row;
  row.pack = found.pack;
  row.offset = found.offset;
  row.record_bytes = found.span;
  row.record_header_bytes = found.header_bytes;
  row.references = 1;
  row.body_stored = record.body_stored;
  row.large_id = record.large_id;
  row.header_check = found.check;
  return row;
}

Result<MessageRows> MessageRowsOf(const PackRecord& record, Keywords& keywords) {
  MessageRows rows;
  rows.message.uid = record.uid;
  rows.message.body_id = record.body_id;
  rows.message.guid = record.guid;
  rows.message.received = record.received;
  rows.message.saved = record.saved;
  rows.message.physical_size = record.physical_size;
  rows.message.virtual_size = record.virtual_size;
  rows.message.flags = record.flags;
  rows.message.cause = record.cause;
  rows.extra.original_guid = record.original_guid;
  rows.extra.pop3_uidl = record.pop3_uidl;
  rows.extra.pop3_order = record.pop3_order;
  for (const std::string& name : record.keywords) {
    LBOX_ASSIGN_OR_RETURN(const uint32_t number, keywords.FindOrAdd(name));
    AddKeyword(rows.message, rows.extra, number);
  }
  return rows;
}

}  // namespace lbox

#include "storage/record_reader.h"

#include <algorithm>
#include <span>
#include <string>

#include "storage/status_macros.h"

namespace lbox {
namespace {

// Read in one go with the record header: a whole record, unless it has an enormous header section;
// or what is enough for the header section of nearly every message.
constexpr size_t kWholeRecordBytes = 256 * 1024;
constexpr size_t kHeaderReadBytes = 16 * 1024;

// What is at a place, as far as it was read.
struct Record {
  PackRecord record;
  std::shared_ptr<File> pack;
  std::string bytes;  // from the record's start, as far as read
};

// kNotFound: no such pack file. kCorruption: something else than the row says. Both may come from a
// pack that was rewritten since.
Result<Record> ReadHeader(PackFiles& packs, const RecordPlace& location, BodyPart part) {
  const BodyRow& row = location.body;
  const bool body_behind =
      part == BodyPart::kHeader && row.large_id == 0 && row.body_stored <= row.record_bytes;
  const uint64_t most = part == BodyPart::kHeader ? kHeaderReadBytes : kWholeRecordBytes;
  Record found;
  LBOX_ASSIGN_OR_RETURN(found.pack, packs.OpenRead(row.pack));
  const size_t wanted = std::min<uint64_t>(row.record_bytes - (body_behind ? row.body_stored : 0),
                                           row.record_header_bytes + most);
  found.bytes.resize(wanted);
  LBOX_ASSIGN_OR_RETURN(const size_t got,
                        found.pack->ReadAt(row.offset, found.bytes.data(), wanted));
  if (got != wanted || wanted < kPackRecordFixedBytes || wanted < row.record_header_bytes) {
    return Status(Code::kCorruption, "the pack is shorter than the record");
  }
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(found.bytes.data()),
                                      found.bytes.size());
  LBOX_ASSIGN_OR_RETURN(const size_t header_bytes, PackRecordHeaderBytes(data));
  if (header_bytes != row.record_header_bytes || PackRecordCheck(data) != row.header_check) {
    return Status(Code::kCorruption, "another record is there than the index says");
  }
  LBOX_ASSIGN_OR_RETURN(found.record, DecodePackRecord(data.first(header_bytes)));
  if (found.record.body_id != location.body_id || found.record.store != location.store ||
      found.record.large_id != row.large_id || found.record.body_stored != row.body_stored ||
      PackRecordSpan(header_bytes, found.record) != row.record_bytes) {
    return Status(Code::kCorruption, "the record is another than the index says");
  }
  return found;
}

// Takes the frames apart; reads the rest of the header frame if need be.
Result<BodyReaderOptions> ReaderOptions(const RecordPlace& location, Record found) {
  const size_t header_bytes = location.body.record_header_bytes;
  BodyReaderOptions options;
  const PackRecord& record = found.record;
  const size_t header_end = header_bytes + record.header_stored;
  if (found.bytes.size() < header_end) {
    const size_t have = found.bytes.size();
    found.bytes.resize(header_end);
    LBOX_ASSIGN_OR_RETURN(const size_t got,
                          found.pack->ReadAt(location.body.offset + have, found.bytes.data() + have,
                                             header_end - have));
    if (got != header_end - have) {
      return Status(Code::kCorruption, "the pack is shorter than the record");
    }
  }
  options.header_frame = found.bytes.substr(header_bytes, record.header_stored);
  if (record.large_id == 0 && record.body_stored > 0) {
    if (found.bytes.size() >= header_end + record.body_stored) {
      found.bytes.resize(header_end + record.body_stored);
      options.body_frame = std::move(found.bytes.erase(0, header_end));
    } else {
      options.pack = found.pack;
      options.body_offset = uint64_t{location.body.offset} + header_end;
    }
  }
  options.record = found.record;
  return options;
}

}  // namespace

Result<BodyReaderOptions> ReadRecord(PackFiles& packs, const RecordPlace& place, BodyPart wanted) {
  LBOX_ASSIGN_OR_RETURN(Record found, ReadHeader(packs, place, wanted));
  return ReaderOptions(place, std::move(found));
}

}  // namespace lbox

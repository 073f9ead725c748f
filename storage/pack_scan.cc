#include "storage/pack_scan.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr size_t kWindowBytes = 256 * 1024;

// Bytes of the pack around the present record.
class Window {
 public:
  explicit Window(const PackScan& scan) : scan_(scan) {}

  // `size` bytes at `offset`, or as many as there are before the tail.
  Result<std::span<const uint8_t>> At(uint64_t offset, size_t size) {
    size = std::min<uint64_t>(size, scan_.tail - offset);
    if (offset < start_ || offset + size > start_ + bytes_.size()) {
      bytes_.resize(std::min<uint64_t>(std::max(size, kWindowBytes), scan_.tail - offset));
      start_ = offset;
      LBOX_ASSIGN_OR_RETURN(const size_t got,
                            scan_.file.ReadAt(offset, bytes_.data(), bytes_.size()));
      bytes_.resize(got);
      size = std::min(size, got);
    }
    return std::span<const uint8_t>(bytes_.data() + (offset - start_), size);
  }

 private:
  const PackScan& scan_;
  uint64_t start_ = 0;
  std::vector<uint8_t> bytes_;
};

Status Damaged(const PackScan& scan, uint64_t offset, const std::string& why) {
  return Status(Code::kCorruption, scan.path + " at " + std::to_string(offset) + ": " + why);
}

}  // namespace

Status ScanPack(const PackScan& scan, const PackVisitor& visit) {
  Window window(scan);
  for (uint64_t offset = 0; offset < scan.tail;) {
    LBOX_ASSIGN_OR_RETURN(auto data, window.At(offset, kPackRecordFixedBytes));
    if (data.size() < kPackRecordFixedBytes) {
      return Damaged(scan, offset, "the last record is cut off");
    }
    const auto header_bytes = PackRecordHeaderBytes(data);
    if (!header_bytes.ok()) {
      return Damaged(scan, offset, header_bytes.status().message());
    }
    LBOX_ASSIGN_OR_RETURN(data, window.At(offset, *header_bytes));
    if (data.size() < *header_bytes) {
      return Damaged(scan, offset, "the last record is cut off");
    }
    const auto record = DecodePackRecord(data);
    if (!record.ok()) {
      return Damaged(scan, offset, record.status().message());
    }
    if (record->store != scan.store) {
      return Damaged(scan, offset, "a record of another store");
    }
    const uint64_t span = PackRecordSpan(*header_bytes, *record);
    if (span > scan.tail - offset) {
      return Damaged(scan, offset, "the last record is cut off");
    }
    LBOX_RETURN_IF_ERROR(visit(offset, span, *record, *header_bytes, PackRecordCheck(data)));
    offset += span;
  }
  return {};
}

}  // namespace lbox

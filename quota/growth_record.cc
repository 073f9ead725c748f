#include "quota/growth_record.h"

#include <algorithm>

#include <xxhash.h>

#include "quota/bytes.h"

namespace hosting {
namespace {

constexpr XXH64_hash_t kFormat = 1;  // seed of the checksums
constexpr size_t kAmountBytes = 6, kChecksumBytes = 4;
constexpr uint64_t kMostAmount = (1ULL << 48) - 1;

void Close(std::string& bytes) {
  bytes.resize(bytes.size() + kChecksumBytes);
  const uint64_t sum = GrowthChecksum(bytes);
  bytes.resize(bytes.size() - kChecksumBytes);
  PutNumber(bytes, sum, kChecksumBytes);
}

bool IsWhole(std::string_view bytes, size_t size) {
  return bytes.size() == size &&
         NumberAt(bytes, size - kChecksumBytes, kChecksumBytes) == GrowthChecksum(bytes);
}

}  // namespace

uint64_t GrowthChecksum(std::string_view record) {
  return XXH3_64bits_withSeed(record.data(), record.size() - kChecksumBytes, kFormat) & UINT32_MAX;
}

bool GrowthRecord::SameAs(const GrowthRecord& other) const {
  GrowthRecord same = other;
  same.hour = hour;
  return same == *this;
}

uint64_t GrowthKey(std::string_view account) {
  return XXH3_64bits(account.data(), account.size());
}

uint64_t GrowthKey(const SourceId& source) {
  const std::string whole = source.account + '\0' + static_cast<char>(source.kind) + source.name;
  return XXH3_64bits(whole.data(), whole.size());
}

std::string Encode(const GrowthRecord& record) {
  std::string bytes;
  bytes.reserve(kGrowthRecordBytes);
  PutNumber(bytes, record.key, 8);
  PutNumber(bytes, record.hour, 4);
  for (const uint64_t amount :
       {record.mail, record.web, record.external, record.delivered, record.saved,
        record.removed_pop3, record.removed_imap, record.removed_retention}) {
    PutNumber(bytes, std::min(amount, kMostAmount), kAmountBytes);
  }
  Close(bytes);
  return bytes;
}

std::string Encode(const GrowthSource& record) {
  std::string bytes;
  bytes.reserve(kGrowthSourceBytes);
  PutNumber(bytes, record.key, 8);
  PutNumber(bytes, record.day, 4);
  PutNumber(bytes, record.bytes, 8);
  Close(bytes);
  return bytes;
}

std::optional<GrowthRecord> DecodeGrowthRecord(std::string_view bytes) {
  if (!IsWhole(bytes, kGrowthRecordBytes)) {
    return std::nullopt;
  }
  GrowthRecord record;
  record.key = NumberAt(bytes, 0, 8);
  record.hour = static_cast<uint32_t>(NumberAt(bytes, 8, 4));
  size_t at = 12;
  for (uint64_t* amount :
       {&record.mail, &record.web, &record.external, &record.delivered, &record.saved,
        &record.removed_pop3, &record.removed_imap, &record.removed_retention}) {
    *amount = NumberAt(bytes, at, kAmountBytes);
    at += kAmountBytes;
  }
  return record;
}

std::optional<GrowthSource> DecodeGrowthSource(std::string_view bytes) {
  if (!IsWhole(bytes, kGrowthSourceBytes)) {
    return std::nullopt;
  }
  GrowthSource record;
  record.key = NumberAt(bytes, 0, 8);
  record.day = static_cast<uint32_t>(NumberAt(bytes, 8, 4));
  record.bytes = NumberAt(bytes, 12, 8);
  return record;
}

}  // namespace hosting

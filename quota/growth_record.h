// The bytes of growth history (docs/growth.md, "Files").
//
// Purpose: records of one size, each with a checksum, so that a torn or damaged one is seen and the
// next one is found. Ownership: values. Process rules: none. Failure modes: what is no record is
// not decoded. Crash rule: none here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "quota/ledger.h"

namespace hosting {

constexpr size_t kGrowthRecordBytes = 64, kGrowthSourceBytes = 24;

// An account at an hour: what is in use, and how much has come and gone by each cause ever since
// (CausesEver). All in bytes, of which 2^48 - 1 at most are kept.
struct GrowthRecord {
  uint64_t key = 0;   // GrowthKey of the account
  uint32_t hour = 0;  // Unix seconds / 3600
  uint64_t mail = 0, web = 0, external = 0;
  uint64_t delivered = 0, saved = 0;
  uint64_t removed_pop3 = 0, removed_imap = 0, removed_retention = 0;

  [[nodiscard]] uint64_t used() const { return mail + web + external; }
  [[nodiscard]] uint64_t came() const { return delivered + saved; }
  [[nodiscard]] uint64_t gone() const { return removed_pop3 + removed_imap + removed_retention; }
  // Whether anything but the hour differs.
  [[nodiscard]] bool SameAs(const GrowthRecord& other) const;
  friend bool operator==(const GrowthRecord&, const GrowthRecord&) = default;
};

// A source at the end of a day.
struct GrowthSource {
  uint64_t key = 0;  // GrowthKey of the source
  uint32_t day = 0;  // since 1970-01-01, UTC
  uint64_t bytes = 0;
  friend bool operator==(const GrowthSource&, const GrowthSource&) = default;
};

// XXH3-64 of the name: history has no names, so that no file has to be kept in step with others.
uint64_t GrowthKey(std::string_view account);
uint64_t GrowthKey(const SourceId& source);

// Of a record's bytes but the last four, which are it: the lower half of their XXH3-64, seed 1.
uint64_t GrowthChecksum(std::string_view record);

std::string Encode(const GrowthRecord& record);
std::string Encode(const GrowthSource& record);
// None: its checksum does not hold, or the size is not a record's.
std::optional<GrowthRecord> DecodeGrowthRecord(std::string_view bytes);
std::optional<GrowthSource> DecodeGrowthSource(std::string_view bytes);

}  // namespace hosting

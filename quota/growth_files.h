// Files of growth history: one for a day of hourly records, one for a month of daily ones, one for
// a month of sources (docs/growth.md, "Files").
//
// Purpose: appending, reading a bounded part at a time, and a bound on how much is kept: of each
// kind the newest files stay. Ownership: the folder is hosting-usage's. Process rules: one process
// writes; no flushes. Failure modes: history is a hint: a file that cannot be written or read is
// told once a minute, and what was to be written is dropped. Crash rule: a kill loses nothing that
// Append was given, a power cut the last records; a torn one is cut off before the next is
// appended.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "quota/usage_log.h"

namespace hosting {

enum class GrowthFile : uint8_t { kHours, kDays, kSources };
constexpr size_t kGrowthFileKinds = 3;
// For 14 days, 400 days and 90 days, whatever months they begin in.
constexpr std::array<size_t, kGrowthFileKinds> kGrowthFilesKept = {15, 15, 5};

class GrowthFiles {
 public:
  // Makes the folder, which is in one that is there.
  GrowthFiles(std::string folder, UsageLog log);

  // Whole records of the day (since 1970-01-01, UTC). boot_ms: for telling failures.
  void Append(GrowthFile kind, int64_t day, std::string_view records, int64_t boot_ms);
  // Names in the order of their days.
  [[nodiscard]] std::vector<std::string> List(GrowthFile kind) const;
  // The name of the file with that day's records.
  static std::string NameOf(GrowthFile kind, int64_t day);

  static constexpr size_t kMostRead = 256 << 10;
  // The bytes of a file from `offset` on, kMostRead at most, whole records of that size; empty at
  // the end, or when it cannot be read.
  [[nodiscard]] std::string Read(const std::string& name, uint64_t offset, size_t record) const;

 private:
  void RemoveOld(GrowthFile kind);
  void Failed(const std::string& what, int error, int64_t boot_ms);

  std::string folder_;
  UsageLog log_;
  int64_t failure_logged_ms_ = 0;
  bool failed_ = false;
};

}  // namespace hosting

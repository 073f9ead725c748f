// Growth history: what accounts used at each hour and day, in files and, as far as forecasts need
// it, in memory.
//
// Purpose: hourly records for 14 days, daily ones for 400, of sources for 90. Ownership: of
// GrowthWatch; owns its folder. Process rules: one thread; time is passed in; a Load at the start,
// then appends. Failure modes and crash rule: growth_files.h's. Records of the last days survive a
// kill; sums of causes only grow, so an hour that is missing shortens nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "quota/growth_files.h"
#include "quota/growth_forecast.h"
#include "quota/growth_record.h"

namespace hosting {

class GrowthHistory {
 public:
  GrowthHistory(const std::string& folder, UsageLog log) : files_(folder, std::move(log)) {}

  // From the files, before anything else. now: Unix seconds.
  void Load(int64_t now);

  // The figures of an account in an hour. True: the first ones of a day, so that the sources of
  // the day before are to be added. An hour that was added before changes nothing.
  bool Add(const GrowthRecord& record);
  void AddSource(const GrowthSource& source);
  // Appends to the files what was added.
  void Write(int64_t boot_ms);

  // Ends of days before that of `now`, kForecastDays and some at most, ascending.
  [[nodiscard]] std::vector<GrowthPoint> Points(uint64_t account, int64_t now) const;
  // Percent of the mail that came in the last 28 days that did not go again; none: none came.
  [[nodiscard]] std::optional<uint32_t> KeptPercent(uint64_t account) const;
  [[nodiscard]] const GrowthFiles& files() const { return files_; }
  [[nodiscard]] size_t accounts() const { return recent_.size(); }

 private:
  struct Day {
    int32_t day = 0;
    uint64_t used = 0, came = 0, gone = 0;
  };
  struct Recent {
    std::vector<Day> days;  // ascending
    GrowthRecord last;
    bool known = false;        // last is
    int64_t written_day = -1;  // of its last hourly record in the files
  };

  void LoadFile(GrowthFile kind, const std::string& name, int64_t today);
  void EndDay(Recent& recent);
  void Forget(uint32_t hour);

  GrowthFiles files_;
  std::unordered_map<uint64_t, Recent> recent_;
  std::map<std::pair<GrowthFile, int64_t>, std::string> unwritten_;  // by kind and day
  int64_t day_ = 0;                                                  // that began last
};

}  // namespace hosting

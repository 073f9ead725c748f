// Histories of made-up accounts, the same for the same seed everywhere.
//
// Purpose: what growth_score.h tries forecasts on: a year or two of daily figures, of accounts that
// are used in different ways, and of accounts into which real messages come with their sizes on the
// weekdays and in the weeks of the year of their dates. Ownership: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quota/growth_forecast.h"

namespace hosting {

struct GrowthSeries {
  std::string kind;
  std::vector<GrowthPoint> points;  // of consecutive days
  uint64_t limit = 0;               // bytes, that it begins with
};

// A message's date (Unix seconds) and size in bytes.
struct DatedSize {
  int64_t at = 0;
  uint64_t bytes = 0;
};

// "DATE SIZE" a line; empty when the file cannot be read.
std::vector<DatedSize> ReadDatedSizes(const std::string& path);

// steady: every day about the same. weekly: little at weekends. jumps: now and then an import or a
// copy, half of which goes again. clean-ups: its owner removes a good part now and then. seasonal:
// a year's waves and holidays. level: comes and goes, and stays below its limit. web: mail comes
// steadily, the site is published anew, larger. replay: real messages. replay-pop3: of these, most
// go within days.
const std::vector<std::string>& GrowthKinds();
GrowthSeries MakeGrowthSeries(const std::string& kind, uint32_t seed,
                              const std::vector<DatedSize>& messages);

}  // namespace hosting

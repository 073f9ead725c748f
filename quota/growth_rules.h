// Which growth warnings are due (docs/growth.md, "Rules").
//
// Purpose: each rule of a package fires once when what it watches for is passed, and again only
// after that was left clearly behind. Ownership: values; the state is kept by growth_watch.h.
// Process rules: none. Failure modes: a state that cannot be decoded is none: kCorruption. Crash
// rule: growth_warning.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quota/growth_forecast.h"
#include "quota/growth_warning.h"
#include "quota/policy.h"

namespace hosting {

// A percentage is watched for again once so many points less are used.
constexpr uint32_t kPercentHysteresis = 3;
// Of an account's limit: weekly growth below it is none to speak of; without a limit, bytes.
constexpr uint32_t kLeastWeeklyPercent = 1;
constexpr uint64_t kLeastWeeklyBytes = 64ULL << 20;

// Which rules of an account have fired and are not watched for again yet.
struct GrowthState {
  uint64_t warnings = 0;           // that were given, ever
  std::vector<uint32_t> percents;  // ascending
  bool days = false, week = false;
  std::string price_month;  // YYYY-MM, in which it fired last; empty: never
  friend bool operator==(const GrowthState&, const GrowthState&) = default;
};

// What is left behind is watched for again.
GrowthState Rearmed(const Package& package, const GrowthOutlook& outlook, GrowthState state);
// In the order in which they are to be given: of several percentages only the highest.
std::vector<GrowthWarning> DueWarnings(const std::string& account, const Package& package,
                                       const GrowthOutlook& outlook, const GrowthState& state);
// What a rule says of these figures, whether or not it is due; without number and threshold.
GrowthWarning WarningOf(const std::string& account, const Package& package,
                        const GrowthOutlook& outlook, GrowthRule rule);
// After a warning was given.
void NoteWarning(const Package& package, const GrowthWarning& warning, const std::string& month,
                 GrowthState& state);

std::string EncodeGrowthState(const GrowthState& state);
Result<GrowthState> DecodeGrowthState(std::string_view bytes);

const char* NameOf(GrowthRule rule);    // percent, days, week, overage
const char* NameOf(GrowthLevel level);  // notice, warning, full

}  // namespace hosting

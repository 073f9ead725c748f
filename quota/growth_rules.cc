#include "quota/growth_rules.h"

#include <algorithm>

#include "quota/bytes.h"

namespace hosting {
namespace {

constexpr uint32_t kFormat = 1;
constexpr uint32_t kSoonDays = 7;      // to the limit: from here on a warning, not a notice
constexpr uint32_t kSoonPercent = 90;  // of the limit, likewise
constexpr size_t kMostPercents = 200;

bool IsFull(const GrowthOutlook& outlook) {
  return outlook.limit != 0 && outlook.used() >= outlook.limit;
}

// Growth of seven days in percent of what was in use before; 0 when it is none to speak of.
uint64_t WeeklyPercent(const GrowthOutlook& outlook) {
  if (!outlook.week_ago || *outlook.week_ago == 0 || outlook.used() <= *outlook.week_ago) {
    return 0;
  }
  const uint64_t growth = outlook.used() - *outlook.week_ago;
  const uint64_t least =
      outlook.limit != 0 ? outlook.limit / 100 * kLeastWeeklyPercent : kLeastWeeklyBytes;
  if (growth < least) {
    return 0;
  }
  return static_cast<uint64_t>(
      std::min<WideBytes>(static_cast<WideBytes>(growth) * 100 / *outlook.week_ago, UINT64_MAX));
}

// The highest percentage that was passed; 0: none.
uint32_t PercentPassed(const Package& package, const GrowthOutlook& outlook) {
  uint32_t passed = 0;
  for (const uint32_t percent : package.warn_percent) {
    passed = outlook.limit != 0 && outlook.percent >= percent ? percent : passed;
  }
  return passed;
}

bool DaysAreDue(const Package& package, const GrowthOutlook& outlook) {
  return package.warn_days != 0 && outlook.known && outlook.full_on && !IsFull(outlook) &&
         outlook.days_to_full <= package.warn_days;
}

bool PriceIsDue(const Package& package, const GrowthOutlook& outlook) {
  return package.warn_overage && !outlook.currency.empty() &&
         package.warn_overage->Below(outlook.price);
}

GrowthLevel LevelOf(GrowthRule rule, const GrowthOutlook& outlook) {
  if (IsFull(outlook)) {
    return GrowthLevel::kFull;
  }
  const bool soon = outlook.percent >= kSoonPercent ||
                    (outlook.known && outlook.full_on && outlook.days_to_full <= kSoonDays);
  return soon || rule == GrowthRule::kOveragePrice ? GrowthLevel::kWarning : GrowthLevel::kNotice;
}

}  // namespace

GrowthState Rearmed(const Package& package, const GrowthOutlook& outlook, GrowthState state) {
  std::erase_if(state.percents, [&](uint32_t percent) {
    return outlook.limit == 0 || outlook.percent + kPercentHysteresis <= percent ||
           outlook.percent == 0;
  });
  if (IsFull(outlook)) {
    state.days = true;  // too late for that warning
  } else if (package.warn_days == 0 || !outlook.full_on ||
             outlook.days_to_full > package.warn_days + package.warn_days / 2 + 2) {
    state.days = false;
  }
  if (WeeklyPercent(outlook) <= package.warn_weekly_percent / 2) {
    state.week = false;
  }
  return state;
}

GrowthWarning WarningOf(const std::string& account, const Package& package,
                        const GrowthOutlook& outlook, GrowthRule rule) {
  GrowthWarning warning;
  warning.account = account;
  warning.package = package.name;
  warning.rule = rule;
  warning.level = LevelOf(rule, outlook);
  warning.at = outlook.at;
  warning.mail = outlook.mail;
  warning.web = outlook.web;
  warning.external = outlook.external;
  warning.limit = outlook.limit;
  warning.percent = outlook.percent;
  warning.growth_a_day = outlook.growth_a_day;
  warning.full_on = outlook.full_on;
  warning.days_to_full = outlook.days_to_full;
  warning.overage = outlook.overage;
  warning.price = outlook.price;
  warning.currency = outlook.currency;
  warning.kept_percent = outlook.kept_percent;
  return warning;
}

std::vector<GrowthWarning> DueWarnings(const std::string& account, const Package& package,
                                       const GrowthOutlook& outlook, const GrowthState& state) {
  std::vector<GrowthWarning> due;
  const auto add = [&](GrowthRule rule, uint32_t threshold) -> GrowthWarning& {
    GrowthWarning& warning = due.emplace_back(WarningOf(account, package, outlook, rule));
    warning.number = state.warnings + due.size();
    warning.threshold = threshold;
    return warning;
  };
  const uint32_t passed = PercentPassed(package, outlook);
  if (passed != 0 && (state.percents.empty() || passed > state.percents.back())) {
    add(GrowthRule::kPercent, passed);
  }
  if (!state.days && DaysAreDue(package, outlook)) {
    add(GrowthRule::kDaysToFull, package.warn_days);
  }
  if (!state.week && package.warn_weekly_percent != 0 &&
      WeeklyPercent(outlook) > package.warn_weekly_percent) {
    add(GrowthRule::kWeeklyGrowth, package.warn_weekly_percent);
  }
  if (state.price_month != outlook.month && PriceIsDue(package, outlook)) {
    add(GrowthRule::kOveragePrice, 0).price_threshold = *package.warn_overage;
  }
  return due;
}

void NoteWarning(const Package& package, const GrowthWarning& warning, const std::string& month,
                 GrowthState& state) {
  state.warnings = std::max(state.warnings, warning.number);
  switch (warning.rule) {
    case GrowthRule::kPercent:
      state.percents.clear();
      for (const uint32_t percent : package.warn_percent) {
        if (percent <= warning.threshold) {
          state.percents.push_back(percent);
        }
      }
      break;
    case GrowthRule::kDaysToFull:
      state.days = true;
      break;
    case GrowthRule::kWeeklyGrowth:
      state.week = true;
      break;
    case GrowthRule::kOveragePrice:
      state.price_month = month;
      break;
  }
}

std::string EncodeGrowthState(const GrowthState& state) {
  ByteWriter out;
  out.Number<uint32_t>(kFormat);
  out.Number<uint64_t>(state.warnings);
  out.Number<uint8_t>(static_cast<uint8_t>((state.days ? 1 : 0) | (state.week ? 2 : 0)));
  out.Number<uint32_t>(static_cast<uint32_t>(state.percents.size()));
  for (const uint32_t percent : state.percents) {
    out.Number<uint32_t>(percent);
  }
  out.Bytes(state.price_month);
  return out.Take();
}

Result<GrowthState> DecodeGrowthState(std::string_view bytes) {
  ByteReader in(bytes);
  GrowthState state;
  const auto format = in.Number<uint32_t>();
  state.warnings = in.Number<uint64_t>();
  const auto flags = in.Number<uint8_t>();
  const auto percents = in.Number<uint32_t>();
  if (!in.ok() || format != kFormat || percents > kMostPercents ||
      in.left() < percents * sizeof(uint32_t)) {
    return Status(Code::kCorruption, "the note of an account's warnings cannot be read");
  }
  state.days = (flags & 1) != 0;
  state.week = (flags & 2) != 0;
  for (uint32_t i = 0; i < percents; ++i) {
    state.percents.push_back(in.Number<uint32_t>());
  }
  state.price_month = in.Bytes(in.left());
  return state;
}

const char* NameOf(GrowthRule rule) {
  switch (rule) {
    case GrowthRule::kPercent:
      return "percent";
    case GrowthRule::kDaysToFull:
      return "days";
    case GrowthRule::kWeeklyGrowth:
      return "week";
    case GrowthRule::kOveragePrice:
      return "overage";
  }
  return "";
}

const char* NameOf(GrowthLevel level) {
  switch (level) {
    case GrowthLevel::kNotice:
      return "notice";
    case GrowthLevel::kWarning:
      return "warning";
    case GrowthLevel::kFull:
      return "full";
  }
  return "";
}

}  // namespace hosting

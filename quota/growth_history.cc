#include "quota/growth_history.h"

#include <algorithm>

namespace hosting {
namespace {

constexpr size_t kDaysInMemory = kForecastDays + 2;
constexpr size_t kKeptDays = 28;
constexpr uint32_t kHoursADay = 24;
// Of the newest files: enough for kDaysInMemory, and for the hours of yesterday.
constexpr size_t kDayFilesLoaded = 3, kHourFilesLoaded = 2;
// A record that far in the future was made while the clock was wrong.
constexpr uint32_t kWrongHours = 31 * 24;
constexpr int32_t kWrongDays = kWrongHours / 24;
// After a longer leap of the clock nobody has been heard of.
constexpr int32_t kDaysAsUsual = 2;
constexpr uint32_t kForgottenHours = 62 * 24;

int32_t DayOf(const GrowthRecord& record) {
  return static_cast<int32_t>(record.hour / kHoursADay);
}

}  // namespace

void GrowthHistory::Load(int64_t now) {
  const int64_t today = now / kSecondsADay;
  day_ = today;
  const std::pair<GrowthFile, size_t> kinds[] = {{GrowthFile::kDays, kDayFilesLoaded},
                                                 {GrowthFile::kHours, kHourFilesLoaded}};
  for (const auto& [kind, number] : kinds) {
    std::vector<std::string> names = files_.List(kind);
    const std::string newest = GrowthFiles::NameOf(kind, today);
    std::erase_if(names, [&](const std::string& name) { return name > newest; });
    for (size_t i = names.size() > number ? names.size() - number : 0; i < names.size(); ++i) {
      LoadFile(kind, names[i], today);
    }
  }
}

void GrowthHistory::LoadFile(GrowthFile kind, const std::string& name, int64_t today) {
  uint64_t offset = 0;
  for (;;) {
    const std::string bytes = files_.Read(name, offset, kGrowthRecordBytes);
    if (bytes.empty()) {
      return;
    }
    offset += bytes.size();
    for (size_t at = 0; at < bytes.size(); at += kGrowthRecordBytes) {
      const auto record =
          DecodeGrowthRecord(std::string_view(bytes).substr(at, kGrowthRecordBytes));
      if (!record || DayOf(*record) > today) {
        continue;
      }
      Recent& recent = recent_[record->key];
      if (!recent.known || record->hour >= recent.last.hour) {
        recent.last = *record;
        recent.known = true;
      }
      if (kind == GrowthFile::kDays) {
        const GrowthRecord newer = std::exchange(recent.last, *record);
        EndDay(recent);
        recent.last = newer;
      } else {
        recent.written_day = DayOf(*record);
      }
    }
  }
}

// Notes the last figures as those of their day's end.
void GrowthHistory::EndDay(Recent& recent) {
  const GrowthRecord& last = recent.last;
  if (!recent.days.empty() && recent.days.back().day >= DayOf(last)) {
    return;
  }
  recent.days.push_back({DayOf(last), last.used(), last.came(), last.gone()});
  if (recent.days.size() > kDaysInMemory) {
    recent.days.erase(recent.days.begin());
  }
}

bool GrowthHistory::Add(const GrowthRecord& record) {
  const int32_t day = DayOf(record);
  if (day > day_ || day + kWrongDays < day_) {
    if (day > day_ && day - day_ <= kDaysAsUsual) {
      Forget(record.hour);
    }
    day_ = day;
  }
  Recent& recent = recent_[record.key];
  const bool wrong = recent.known && recent.last.hour > record.hour + kWrongHours;
  if (recent.known && !wrong && record.hour <= recent.last.hour) {
    return false;
  }
  if (wrong) {
    std::erase_if(recent.days, [&](const Day& each) { return each.day >= day; });
  }
  const bool begins = recent.known && !wrong && DayOf(recent.last) < day;
  if (begins) {
    unwritten_[{GrowthFile::kDays, DayOf(recent.last)}] += Encode(recent.last);
    EndDay(recent);
  }
  if (!recent.known || recent.written_day != day || !record.SameAs(recent.last)) {
    unwritten_[{GrowthFile::kHours, day}] += Encode(record);
    recent.written_day = day;
  }
  recent.last = record;
  recent.known = true;
  return begins;
}

void GrowthHistory::AddSource(const GrowthSource& source) {
  unwritten_[{GrowthFile::kSources, source.day}] += Encode(source);
}

void GrowthHistory::Write(int64_t boot_ms) {
  for (const auto& [where, records] : unwritten_) {
    files_.Append(where.first, where.second, records, boot_ms);
  }
  unwritten_.clear();
}

// Accounts that nobody has heard of for long.
void GrowthHistory::Forget(uint32_t hour) {
  std::erase_if(recent_,
                [&](const auto& each) { return each.second.last.hour + kForgottenHours < hour; });
}

std::vector<GrowthPoint> GrowthHistory::Points(uint64_t account, int64_t now) const {
  std::vector<GrowthPoint> points;
  const auto at = recent_.find(account);
  if (at == recent_.end()) {
    return points;
  }
  const int64_t today = now / kSecondsADay;
  for (const Day& day : at->second.days) {
    if (day.day < today) {
      points.push_back({day.day, day.used});
    }
  }
  // What was seen last may be of a day that no hour has ended yet.
  const GrowthRecord& last = at->second.last;
  if (at->second.known && DayOf(last) < today &&
      (points.empty() || points.back().day < DayOf(last))) {
    points.push_back({DayOf(last), last.used()});
  }
  return points;
}

std::optional<uint32_t> GrowthHistory::KeptPercent(uint64_t account) const {
  const auto at = recent_.find(account);
  if (at == recent_.end() || at->second.days.empty()) {
    return std::nullopt;
  }
  const Recent& recent = at->second;
  const Day& from =
      recent.days[recent.days.size() > kKeptDays ? recent.days.size() - kKeptDays - 1 : 0];
  const uint64_t came = recent.last.came() - from.came, gone = recent.last.gone() - from.gone;
  // A ledger that was begun anew counts from nothing.
  if (recent.last.came() <= from.came || recent.last.gone() < from.gone) {
    return std::nullopt;
  }
  return gone >= came ? 0 : static_cast<uint32_t>((came - gone) * 100 / came);
}

}  // namespace hosting

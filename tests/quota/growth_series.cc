#include "tests/quota/growth_series.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <random>

namespace hosting {
namespace {

constexpr int kDays = 730;
constexpr int32_t kFirstDay = 20000;  // 2024-10-04
constexpr double kLimit = 1ULL << 34;
constexpr int kYear = 364;  // days: whole weeks, so that weekdays stay

// Distributions of our own: those of the standard library differ between libraries.
class Chance {
 public:
  explicit Chance(uint64_t seed) : random_(seed) {}
  double Uniform(double from, double to) {
    return from + (to - from) * (static_cast<double>(random_() >> 11) * 0x1p-53);
  }
  int Days(int from, int to) { return static_cast<int>(Uniform(from, to)); }
  double Normal() {
    const double u = std::max(Uniform(0, 1), 1e-12);
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * Uniform(0, 1));
  }
  // Above 0, 1 on average.
  double Noise(double spread) { return std::exp(spread * Normal() - spread * spread / 2); }

 private:
  std::mt19937_64 random_;
};

bool IsWeekend(int32_t day) {
  const int weekday = (day + 4) % 7;  // 1970-01-01 was a Thursday; 0: Sunday
  return weekday == 0 || weekday == 6;
}

// What comes each day, before what an owner does about it.
class Owner {
 public:
  Owner(const std::string& kind, uint32_t seed, Chance& chance)
      : kind_(kind), seed_(seed), chance_(chance) {
    growth_ = 0.8 * kLimit / chance.Uniform(60, 460);
    next_ = chance.Days(20, 60);
  }
  double On(int i, double used) {
    const double noise = growth_ * chance_.Noise(0.5);
    const double week = IsWeekend(kFirstDay + i) ? 0.4 : 1.24;
    double more = later_.contains(i) ? later_[i] : 0;
    if (kind_ == "steady") {
      more += noise;
    } else if (kind_ == "weekly") {
      more += noise * (IsWeekend(kFirstDay + i) ? 0.1 : 1.36);
    } else if (kind_ == "jumps") {
      more += 0.7 * noise * week + Jump(i);
    } else if (kind_ == "clean-ups") {
      more += 1.5 * noise * week - CleanUp(i, used);
    } else if (kind_ == "seasonal") {
      const bool holiday = (i + 31 * static_cast<int>(seed_)) % 365 > 345;
      const double wave = 1 + 0.8 * std::sin(2 * M_PI * i / 365 + seed_);
      more += noise * week * (holiday ? 0.05 : wave);
    } else if (kind_ == "level") {
      more += 0.006 * kLimit * chance_.Normal() - 0.05 * (used - 0.6 * kLimit);
    } else if (kind_ == "web") {
      more += 0.5 * noise * week + Publish(i);
    }
    return more;
  }

 private:
  double Jump(int i) {
    if (i != next_) {
      return 0;
    }
    next_ = i + chance_.Days(25, 75);
    const double jump = kLimit * chance_.Uniform(0.04, 0.16);
    if (chance_.Uniform(0, 1) < 0.5) {
      later_[i + chance_.Days(2, 12)] -= 0.95 * jump;
    }
    return jump;
  }
  double CleanUp(int i, double used) {
    if (i != next_) {
      return 0;
    }
    next_ = i + chance_.Days(25, 85);
    return used * chance_.Uniform(0.15, 0.6);
  }
  // The old site is there until the new one is: a peak of some days, then a bit more than before.
  double Publish(int i) {
    if (i != next_) {
      return 0;
    }
    next_ = i + chance_.Days(20, 60);
    const double site = kLimit * chance_.Uniform(0.03, 0.08);
    later_[i + chance_.Days(1, 4)] -= 0.85 * site;
    return site;
  }

  std::string kind_;
  uint32_t seed_;
  Chance& chance_;
  double growth_;
  int next_;
  std::map<int, double> later_;
};

// Three mailboxes, each of which gets two fifths of the messages each year; sizes are scaled so
// that the limit is reached as soon as by the other kinds.
std::vector<double> Replay(const std::vector<DatedSize>& messages, bool pop3, Chance& chance) {
  std::vector<double> days(kDays, 0);
  for (int copy = 0; copy < 3 * 3; ++copy) {
    const int year = copy % 3 * kYear - kYear / 2;
    for (const DatedSize& message : messages) {
      if (chance.Uniform(0, 1) >= 0.4) {
        continue;
      }
      // The weekday of day kFirstDay + i is that of the message's date.
      const auto day = message.at / kSecondsADay;
      const int i = static_cast<int>(((day - kFirstDay) % kYear + kYear) % kYear) + year;
      const auto bytes = static_cast<double>(message.bytes);
      const int gone = pop3 && chance.Uniform(0, 1) < 0.6 ? i + chance.Days(1, 6) : kDays;
      if (i >= 0 && i < kDays) {
        days[static_cast<size_t>(i)] += bytes;
        if (gone < kDays) {
          days[static_cast<size_t>(gone)] -= bytes;
        }
      }
    }
  }
  double sum = 1;
  for (const double day : days) {
    sum += day;
  }
  const double scale = 0.8 * kLimit / chance.Uniform(60, 460) * kDays / sum;
  for (double& day : days) {
    day *= scale;
  }
  return days;
}

}  // namespace

std::vector<DatedSize> ReadDatedSizes(const std::string& path) {
  std::ifstream file(path);
  std::vector<DatedSize> messages;
  DatedSize message;
  while (file >> message.at >> message.bytes) {
    messages.push_back(message);
  }
  return messages;
}

const std::vector<std::string>& GrowthKinds() {
  static const std::vector<std::string> kinds = {"steady",    "weekly",   "jumps",
                                                 "clean-ups", "seasonal", "level",
                                                 "web",       "replay",   "replay-pop3"};
  return kinds;
}

GrowthSeries MakeGrowthSeries(const std::string& kind, uint32_t seed,
                              const std::vector<DatedSize>& messages) {
  GrowthSeries series;
  series.kind = kind;
  series.limit = static_cast<uint64_t>(kLimit);
  uint64_t number = 0;
  while (number < GrowthKinds().size() && GrowthKinds()[number] != kind) {
    ++number;
  }
  Chance chance(1000 * number + seed);
  const bool replayed = kind.starts_with("replay");
  const auto days =
      replayed ? Replay(messages, kind == "replay-pop3", chance) : std::vector<double>();
  Owner owner(kind, seed, chance);
  double used = kLimit * chance.Uniform(0.1, 0.4);
  for (int i = 0; i < kDays; ++i) {
    used = std::max(0.0, used + (replayed ? days[static_cast<size_t>(i)] : owner.On(i, used)));
    series.points.push_back({kFirstDay + i, static_cast<uint64_t>(used)});
  }
  return series;
}

}  // namespace hosting

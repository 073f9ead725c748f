#include "quota/usage_schedule.h"

#include <algorithm>

namespace hosting {
namespace {

constexpr int64_t kLongestWalk = 4 * 3600;  // seconds between signs of life
constexpr int64_t kPause = 60;              // seconds before a lost walk is begun again

}  // namespace

void WebSchedule::Plan(const std::string& account, Entry& entry, int64_t due) {
  due_.erase({entry.due, account});
  entry.due = due;
  if (account != walking_) {
    due_.emplace(due, account);
  }
}

void WebSchedule::Set(const std::string& account, std::set<std::string> roots, uint32_t interval_s,
                      int64_t last, int64_t now) {
  Entry& entry = entries_[account];
  const bool same = entry.roots == roots;
  if (same && entry.interval_s == interval_s) {
    return;
  }
  std::erase_if(entry.left, [&](const std::string& root) { return !roots.contains(root); });
  entry.roots = std::move(roots);
  entry.interval_s = interval_s;
  // New roots are walked soon, a new interval counts from the last walk.
  const int64_t due = last == 0 ? now : std::max(now, last + interval_s);
  Plan(account, entry, due);
}

void WebSchedule::Remove(const std::string& account) {
  const auto at = entries_.find(account);
  if (at != entries_.end()) {
    due_.erase({at->second.due, account});
    entries_.erase(at);
  }
  if (walking_ == account) {
    walking_.reset();
  }
}

std::vector<std::string> WebSchedule::Accounts() const {
  std::vector<std::string> accounts;
  for (const auto& [account, entry] : entries_) {
    accounts.push_back(account);
  }
  return accounts;
}

bool WebSchedule::AtOnce(const std::string& account) {
  const auto at = entries_.find(account);
  if (at == entries_.end()) {
    return false;
  }
  Plan(account, at->second, 0);
  return true;
}

std::optional<std::string> WebSchedule::Take(int64_t now) {
  if (walking_ || due_.empty() || due_.begin()->first > now) {
    return std::nullopt;
  }
  walking_ = due_.begin()->second;
  due_.erase(due_.begin());
  since_ = now;
  Entry& entry = entries_[*walking_];
  entry.left = entry.roots;
  entry.due = now + entry.interval_s;
  return walking_;
}

bool WebSchedule::Walked(const std::string& account, const std::string& root, int64_t now) {
  if (walking_ != account) {
    return false;
  }
  since_ = now;
  Entry& entry = entries_[account];
  entry.left.erase(root);
  if (!entry.left.empty()) {
    return false;
  }
  walking_.reset();
  due_.emplace(entry.due, account);
  return true;
}

void WebSchedule::Lost(int64_t now) {
  if (walking_) {
    const std::string account = *std::exchange(walking_, std::nullopt);
    Plan(account, entries_[account], now + kPause);
  }
}

void WebSchedule::Tick(int64_t now) {
  // The clock may have been set back, too.
  if (walking_ && (now > since_ + kLongestWalk || now < since_ - kLongestWalk)) {
    Lost(now);
  }
}

}  // namespace hosting

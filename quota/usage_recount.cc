#include "quota/usage_recount.h"

#include <algorithm>

namespace hosting {
namespace {

constexpr int64_t kFirstDelayMs = 60 * 1000;
constexpr int64_t kMaxDelayMs = 3600 * 1000;

}  // namespace

void RecountQueue::Wait(const std::string& user, Entry& entry) {
  due_[static_cast<size_t>(entry.urgency)].emplace(entry.due_ms, user);
}

void RecountQueue::Add(const std::string& user, Urgency urgency, int64_t now_ms, bool force) {
  const auto [at, added] = entries_.try_emplace(user);
  Entry& entry = at->second;
  entry.force = entry.force || force;
  if (added) {
    entry.urgency = urgency;
    entry.due_ms = now_ms;
    return Wait(user, entry);
  }
  if (entry.counting) {
    entry.again = true;
    entry.urgency = std::min(entry.urgency, urgency);
  } else if (urgency < entry.urgency) {
    due_[static_cast<size_t>(entry.urgency)].erase({entry.due_ms, user});
    entry.urgency = urgency;
    Wait(user, entry);
  }
}

void RecountQueue::Remove(const std::string& user) {
  const auto at = entries_.find(user);
  if (at == entries_.end()) {
    return;
  }
  counting_ -= at->second.counting ? 1 : 0;
  due_[static_cast<size_t>(at->second.urgency)].erase({at->second.due_ms, user});
  entries_.erase(at);
}

void RecountQueue::Settle(const std::string& user) {
  const auto at = entries_.find(user);
  if (at != entries_.end() && !at->second.counting) {
    Remove(user);
  }
}

std::optional<RecountQueue::Job> RecountQueue::Take(int64_t now_ms) {
  for (Due& due : due_) {
    if (!due.empty() && due.begin()->first <= now_ms) {
      const std::string user = due.begin()->second;
      due.erase(due.begin());
      Entry& entry = entries_[user];
      entry.counting = true;
      entry.again = false;
      ++counting_;
      return Job{user, entry.force};
    }
  }
  return std::nullopt;
}

void RecountQueue::Answered(const std::string& user, Answer answer, int64_t now_ms) {
  const auto at = entries_.find(user);
  if (at == entries_.end() || !at->second.counting) {
    return;
  }
  Entry& entry = at->second;
  if (answer == Answer::kDone && !entry.again) {
    return Remove(user);
  }
  entry.counting = false;
  --counting_;
  if (answer == Answer::kTryAgain) {
    entry.delay_ms =
        entry.delay_ms == 0 ? kFirstDelayMs : std::min(entry.delay_ms * 2, kMaxDelayMs);
    entry.due_ms = now_ms + entry.delay_ms;
  } else {
    entry.delay_ms = 0;
    entry.due_ms = now_ms;
  }
  Wait(user, entry);
}

void RecountQueue::Lost(int64_t now_ms) {
  for (auto& [user, entry] : entries_) {
    if (entry.counting) {
      entry.counting = false;
      entry.due_ms = now_ms;
      Wait(user, entry);
    }
  }
  counting_ = 0;
}

bool RecountQueue::Current(const std::string& user) const {
  const auto at = entries_.find(user);
  return at == entries_.end() || !at->second.counting || !at->second.again;
}

std::optional<RecountQueue::Urgency> RecountQueue::UrgencyOf(const std::string& user) const {
  const auto at = entries_.find(user);
  return at == entries_.end() ? std::nullopt : std::optional(at->second.urgency);
}

}  // namespace hosting

#include "quota/retention.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;  // seconds

bool IsOver(int64_t since, uint32_t days, int64_t now) {
  return since > 0 && now - since >= days * kDay;
}

bool Expires(const Retention& retention, const MessageAge& age, int64_t now) {
  if (!age.retrieved && !retention.delete_unretrieved) {
    return false;
  }
  if (!retention.from_retrieval || !age.retrieved) {
    return IsOver(age.delivered, retention.days, now);
  }
  return age.retrieved_at.has_value() && IsOver(*age.retrieved_at, retention.days, now);
}

}  // namespace

Fate FateOf(const Pop3Rules& rules, const MessageAge& age, int64_t now) {
  if (age.deferred && rules.dele.means == DeleMeans::kDefer &&
      IsOver(age.delivered, rules.dele.days, now)) {
    return Fate::kDeferred;
  }
  return rules.retention && Expires(*rules.retention, age, now) ? Fate::kExpires : Fate::kStays;
}

bool IsPastExpiry(const Pop3Rules& rules, int64_t moved, int64_t now) {
  return rules.retention && IsOver(moved, rules.retention->expiry_days, now);
}

}  // namespace hosting

#include "quota/usage_mail.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "quota/ledger_rows.h"
#include "quota/size.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

using Urgency = RecountQueue::Urgency;

constexpr std::string_view kPlaceKey = "user/";
constexpr uint64_t kMostMessages = 1ULL << 40;  // of one mailbox: more, or kMaxSize, is no figure
constexpr int64_t kFutureSeconds = 60;          // that clocks of one host may be apart
constexpr size_t kInstanceBytes = sizeof(SourceRow::instance);
constexpr size_t kRowsACommit = 5000;

SourceId MailId(const std::string& user, const std::string& account) {
  return {account, SourceKind::kMail, user};
}

bool SameInstance(const SourceRow& row, const wire::Version& version) {
  return std::memcmp(row.instance, version.instance().data(), kInstanceBytes) == 0;
}

bool ByClock(const wire::Version& version) {
  return version.instance().find_first_not_of('\0') == std::string::npos;
}

void SetFigures(SourceRow& row, const wire::Report& report, int64_t now) {
  row.bytes = report.usage().bytes();
  row.messages = report.usage().messages();
  row.disk = report.usage().disk();
  report.version().instance().copy(reinterpret_cast<char*>(row.instance), kInstanceBytes);
  row.counter = report.version().counter();
  row.at = now;
}

}  // namespace

Status UsageMail::Start(bool all_unsure) {
  std::vector<std::string> names;
  LBOX_RETURN_IF_ERROR(
      ledger_.ForEachAccount("", [&](std::string_view account, const AccountTotals&) {
        names.emplace_back(account);
        return true;
      }));
  const int64_t now_ms = clock_.boot_ms();
  size_t changed = 0;
  for (const std::string& account : names) {
    std::vector<std::pair<SourceId, SourceRow>> unsure;
    LBOX_RETURN_IF_ERROR(
        ledger_.ForEachSource(account, {}, [&](const SourceId& id, const SourceRow& row) {
          if (id.kind != SourceKind::kMail) {
            return false;
          }
          if (all_unsure) {
            unsure.emplace_back(id, row);
          } else if (row.open > 0) {
            orphans_[id.name] = {row.open, now_ms + clock_.return_seconds * 1000};
          }
          if (row.recount || all_unsure) {
            recounts_.Add(id.name,
                          row.unsure || all_unsure ? Urgency::kUnsure
                          : row.at == 0            ? Urgency::kFirst
                                                   : Urgency::kLost,
                          now_ms);
          }
          return true;
        }));
    for (auto& [id, row] : unsure) {
      row.recount = row.unsure = true;
      row.open = 0;
      LBOX_RETURN_IF_ERROR(ledger_.Put(id, row));
      if (++changed % kRowsACommit == 0) {
        LBOX_RETURN_IF_ERROR(ledger_.Commit());
      }
    }
  }
  return {};
}

Status UsageMail::Tick() {
  const int64_t now_ms = clock_.boot_ms();
  for (auto at = orphans_.begin(); at != orphans_.end();) {
    if (at->second.until_ms > now_ms) {
      ++at;
      continue;
    }
    const std::string user = at->first;
    const uint32_t sessions = at->second.sessions;
    at = orphans_.erase(at);
    const auto place = PlaceOf(user);
    if (!place.ok()) {
      continue;
    }
    auto row = ledger_.Get(MailId(user, place->account));
    if (row.ok()) {
      row->open -= std::min(row->open, sessions);
      LBOX_RETURN_IF_ERROR(Flag(user, place->account, *row, Urgency::kLost));
    }
  }
  return {};
}

Status UsageMail::PutRow(const std::string& user, const std::string& account,
                         const SourceRow& row) {
  LBOX_RETURN_IF_ERROR(ledger_.Put(MailId(user, account), row));
  return accounts_.Refresh(account);
}

Status UsageMail::Flag(const std::string& user, const std::string& account, SourceRow row,
                       Urgency urgency) {
  row.recount = true;
  row.unsure = row.unsure || urgency == Urgency::kUnsure;
  recounts_.Add(user, urgency, clock_.boot_ms());
  return PutRow(user, account, row);
}

Result<UsageMail::Place> UsageMail::PlaceOf(const std::string& user) {
  const auto value = ledger_.GetValue(std::string(kPlaceKey) + user);
  if (!value.ok()) {
    return value.status();
  }
  return Place{value->substr(std::min<size_t>(1, value->size())), value->starts_with('u')};
}

Status UsageMail::Move(const std::string& user, const Place& to) {
  const std::string key = std::string(kPlaceKey) + user;
  const std::string value = (to.by_userdb ? 'u' : 'p') + to.account;
  const auto before = PlaceOf(user);
  if (!before.ok() && before.status().code() != Code::kNotFound) {
    return before.status();
  }
  if (before.ok() && before->account == to.account && before->by_userdb == to.by_userdb) {
    return {};
  }
  if (before.ok() && before->account != to.account) {
    const auto row = ledger_.Get(MailId(user, before->account));
    if (row.ok()) {
      LBOX_RETURN_IF_ERROR(ledger_.Remove(MailId(user, before->account)));
      LBOX_RETURN_IF_ERROR(accounts_.Refresh(before->account));
      LBOX_RETURN_IF_ERROR(PutRow(user, to.account, *row));
    }
  }
  return ledger_.PutValue(key, value);
}

Result<SourceRow> UsageMail::Open(const std::string& user, const Place& place, bool counts,
                                  bool returning) {
  LBOX_RETURN_IF_ERROR(Move(user, place));
  auto found = ledger_.Get(MailId(user, place.account));
  if (!found.ok() && found.status().code() != Code::kNotFound) {
    return found.status();
  }
  SourceRow row = found.ok() ? *found : SourceRow();
  const auto orphans = orphans_.find(user);
  const bool known = returning && orphans != orphans_.end();
  if (known && --orphans->second.sessions == 0) {
    orphans_.erase(orphans);
  }
  if (counts && !known) {
    ++row.open;
  }
  if (!found.ok() && !row.recount) {
    LBOX_RETURN_IF_ERROR(Flag(user, place.account, row, Urgency::kFirst));
    row.recount = true;
  } else if (counts && !known) {
    LBOX_RETURN_IF_ERROR(ledger_.Put(MailId(user, place.account), row));
  }
  return row;
}

Status UsageMail::Ended(const std::string& user, const std::string& account, bool lost) {
  auto row = ledger_.Get(MailId(user, account));
  if (!row.ok()) {
    return row.status().code() == Code::kNotFound ? Status() : row.status();
  }
  row->open -= std::min<uint32_t>(row->open, 1);
  return lost ? Flag(user, account, *row, Urgency::kLost)
              : ledger_.Put(MailId(user, account), *row);
}

Status UsageMail::Close(const std::string& user, const std::string& account) {
  return Ended(user, account, false);
}

Status UsageMail::Lose(const std::string& user, const std::string& account) {
  return Ended(user, account, true);
}

Status UsageMail::Suspect(const std::string& user, const std::string& account) {
  const auto row = ledger_.Get(MailId(user, account));
  return row.ok() ? Flag(user, account, *row, Urgency::kLost) : row.status();
}

Status UsageMail::SendAway(const std::string& user, const std::string& account) {
  (void)account;  // its row stays open until the session is back
  Orphans& orphans = orphans_[user];
  ++orphans.sessions;
  orphans.until_ms = clock_.boot_ms() + clock_.return_seconds * 1000;
  return {};
}

void UsageMail::TakeRecounted(const std::string& user, const wire::Report& report,
                              const Claim& claim, SourceRow& row) {
  const uint64_t counter = report.version().counter();
  // A session's report overtook this one, unless the store has gone back: then the count began
  // below what was known by then, too.
  const bool overtaken = row.at != 0 && SameInstance(row, report.version()) &&
                         counter < row.counter && counter >= claim.counter_at.value_or(row.counter);
  if (!overtaken) {
    SetFigures(row, report, clock_.now());
  }
  if (recounts_.Current(user)) {
    row.recount = row.unsure = false;
    row.counted_at = clock_.now();
    recounts_.Settle(user);
  }
}

Result<UsageMail::Outcome> UsageMail::Take(const std::string& user, const std::string& account,
                                           const wire::Report& report, const Claim& claim) {
  const wire::Version& version = report.version();
  if (version.instance().size() != kInstanceBytes || report.usage().bytes() > kMaxSize ||
      report.usage().messages() > kMostMessages || report.usage().disk() > kMaxSize) {
    return Outcome::kInvalid;
  }
  const auto found = ledger_.Get(MailId(user, account));
  if (!found.ok() && found.status().code() != Code::kNotFound) {
    return found.status();
  }
  SourceRow row = found.ok() ? *found : SourceRow();
  const SourceRow before = row;
  const bool known = row.at != 0;
  const bool same = known && SameInstance(row, version);
  const int64_t now = clock_.now();
  bool conflict = false;
  if (report.recounted()) {
    TakeRecounted(user, report, claim, row);
  } else if (!known) {
    SetFigures(row, report, now);
    if (recounts_.UrgencyOf(user) == Urgency::kFirst && recounts_.Current(user)) {
      row.recount = false;  // this was what the recount was to find out
      recounts_.Settle(user);
    }
  } else if (!same) {
    conflict = true;
  } else if (version.counter() > row.counter) {
    SetFigures(row, report, now);
  } else if (version.counter() < row.counter) {
    // Late, or of a store (or a clock) that was set back. A session sees what was there when it
    // began: less than that cannot be late.
    const bool future =
        ByClock(version) && row.counter / 1000000000 >
                                static_cast<uint64_t>(std::max<int64_t>(now, 0) + kFutureSeconds);
    conflict =
        future || (!report.again() && claim.counter_at && version.counter() < *claim.counter_at);
  }
  if (conflict) {
    LBOX_RETURN_IF_ERROR(Flag(user, account, row, Urgency::kUnsure));
    return Outcome::kRecount;
  }
  row.hint = row == before ? row.hint : !claim.trusted;
  if (!(row == before)) {
    LBOX_RETURN_IF_ERROR(PutRow(user, account, row));
  }
  return Outcome::kTaken;
}

Status UsageMail::Recount(const std::string& user, const std::string& account) {
  const auto row = ledger_.Get(MailId(user, account));
  if (!row.ok()) {
    return row.status();
  }
  recounts_.Add(user, Urgency::kLost, clock_.boot_ms(), true);
  return Flag(user, account, *row, Urgency::kLost);
}

Status UsageMail::QueueDue(const std::string& account) {
  const int64_t interval = accounts_.policy().service.recount_interval;
  if (interval == 0) {
    return {};
  }
  const int64_t now = clock_.now();
  return ledger_.ForEachSource(account, {}, [&](const SourceId& id, const SourceRow& row) {
    if (id.kind != SourceKind::kMail) {
      return false;
    }
    const bool by_clock = std::all_of(std::begin(row.instance), std::end(row.instance),
                                      [](uint8_t byte) { return byte == 0; });
    if (by_clock && row.at != 0 && !row.recount && now - row.counted_at >= interval) {
      recounts_.Add(id.name, Urgency::kRegular, clock_.boot_ms());
    }
    return true;
  });
}

void UsageMail::Counted(const std::string& user, bool ok) {
  bool done = ok;
  if (ok) {
    const auto place = PlaceOf(user);
    const auto row =
        place.ok() ? ledger_.Get(MailId(user, place->account)) : Result<SourceRow>(place.status());
    done = !row.ok() || !row->recount || !recounts_.Current(user);
    if (!done) {
      log_(LogLevel::kWarning, "hosting-recount says that it counted " + Printable(user) +
                                   ", but no count of that user has come");
    }
  }
  recounts_.Answered(user, done ? RecountQueue::Answer::kDone : RecountQueue::Answer::kTryAgain,
                     clock_.boot_ms());
}

Status UsageMail::Forget(const std::string& user) {
  recounts_.Remove(user);
  orphans_.erase(user);
  const auto place = PlaceOf(user);
  if (!place.ok()) {
    return place.status();
  }
  LBOX_RETURN_IF_ERROR(ledger_.Remove(MailId(user, place->account)));
  LBOX_RETURN_IF_ERROR(ledger_.RemoveValue(std::string(kPlaceKey) + user));
  return accounts_.Refresh(place->account);
}

}  // namespace hosting

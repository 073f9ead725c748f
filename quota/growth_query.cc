// Queries of GrowthWatch that come from doveadm.
#include <algorithm>
#include <cstring>
#include <map>

#include <endian.h>

#include "quota/growth_rules.h"
#include "quota/growth_watch.h"
#include "storage/status_macros.h"
#include "usage.pb.h"

namespace hosting {
namespace {

constexpr size_t kMostReplyBytes = 48 * 1024;  // a frame holds 64 KiB
constexpr size_t kAccountsAReply = 50;
constexpr size_t kReadAReply = 1 << 20, kLeastRead = 16 << 10;  // bytes; of each file at least
constexpr size_t kRecordReplyBytes = 80;

void AddRecord(const GrowthRecord& record, wire::AdminResult& result) {
  wire::GrowthPoint& point = *result.add_points();
  point.set_at(int64_t{record.hour} * 3600);
  point.set_mail(record.mail);
  point.set_web(record.web);
  point.set_external(record.external);
  point.mutable_causes()->set_delivered(record.delivered);
  point.mutable_causes()->set_saved(record.saved);
  point.mutable_causes()->set_removed_pop3(record.removed_pop3);
  point.mutable_causes()->set_removed_imap(record.removed_imap);
  point.mutable_causes()->set_removed_retention(record.removed_retention);
}

}  // namespace

Status GrowthWatch::FillAccount(const std::string& account, int64_t now, wire::GrowthAccount& to) {
  to.set_account(account);
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account));
  LBOX_ASSIGN_OR_RETURN(const auto outlook, Outlook(account, now));
  if (!effective || !outlook) {
    LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(account));
    to.set_mail(totals.mail);
    to.set_web(totals.web);
    to.set_external(totals.external);
    return {};
  }
  to.set_package(effective->package->name);
  to.set_mail(outlook->mail);
  to.set_web(outlook->web);
  to.set_external(outlook->external);
  to.set_limit(outlook->limit);
  to.set_known(outlook->known);
  to.set_growth_a_day(outlook->growth_a_day);
  if (outlook->week_ago) {
    to.set_week_ago(*outlook->week_ago);
  }
  if (outlook->full_on) {
    to.set_full_on(outlook->full_on->Text());
    to.set_days_to_full(outlook->days_to_full);
  }
  if (!outlook->currency.empty()) {
    to.set_overage(outlook->overage);
    to.set_price(outlook->price.Format());
    to.set_currency(outlook->currency);
  }
  if (outlook->kept_percent) {
    to.set_kept_percent(*outlook->kept_percent);
  }
  const auto kept = ledger_.GetValue(GrowthStateKey(account));
  const auto state = kept.ok() ? DecodeGrowthState(*kept) : Result<GrowthState>(GrowthState());
  to.set_warnings(state.ok() ? state->warnings : 0);
  return {};
}

Status GrowthWatch::AnswerAll(const wire::GrowthQuery& query, int64_t now,
                              wire::AdminResult& result) {
  // Both lists are by name; an account is in either or both.
  std::vector<std::string> names;
  LBOX_RETURN_IF_ERROR(
      ledger_.ForEachAccount(query.after(), [&](std::string_view name, const AccountTotals&) {
        names.emplace_back(name);
        return names.size() <= kAccountsAReply;
      }));
  const auto& known = accounts_.policy().accounts;
  auto at = std::upper_bound(
      known.begin(), known.end(), query.after(),
      [](const std::string& name, const Account& account) { return name < account.name; });
  for (size_t i = 0; i <= kAccountsAReply && at != known.end(); ++i, ++at) {
    names.push_back(at->name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  result.set_more(names.size() > kAccountsAReply);
  names.resize(std::min(names.size(), kAccountsAReply));
  for (const std::string& name : names) {
    LBOX_RETURN_IF_ERROR(FillAccount(name, now, *result.add_growth()));
  }
  return {};
}

Status GrowthWatch::AnswerWarnings(const wire::GrowthQuery& query, wire::AdminResult& result) {
  return ledger_.ForEachValue(
      GrowthWarningPrefix(query.account()), "", [&](std::string_view, std::string_view value) {
        if (!result.add_warnings()->ParseFromArray(value.data(), static_cast<int>(value.size()))) {
          result.mutable_warnings()->RemoveLast();
        }
        return result.ByteSizeLong() < kMostReplyBytes;
      });
}

// Reads on from where the last answer ended: "FILE:OFFSET".
Status GrowthWatch::AnswerHistory(const wire::GrowthQuery& query, wire::AdminResult& result) {
  const bool sources = query.what() == wire::GrowthQuery::SOURCES;
  const GrowthFile kind = sources                                    ? GrowthFile::kSources
                          : query.what() == wire::GrowthQuery::HOURS ? GrowthFile::kHours
                                                                     : GrowthFile::kDays;
  const size_t size = sources ? kGrowthSourceBytes : kGrowthRecordBytes;
  const size_t colon = query.after().find(':');
  std::string name = query.after().substr(0, colon);
  uint64_t offset = colon == std::string::npos
                        ? 0
                        : strtoull(query.after().c_str() + colon + 1, nullptr, 10) / size * size;
  std::map<uint64_t, std::string> names;  // of sources
  if (sources) {
    LBOX_RETURN_IF_ERROR(
        ledger_.ForEachSource(query.account(), {}, [&](const SourceId& id, const SourceRow&) {
          names[GrowthKey(id)] = id.name;
          return true;
        }));
  }
  const uint64_t key = GrowthKey(query.account());
  const std::vector<std::string> files = history_.files().List(kind);
  size_t bytes_in = 0, bytes_out = 0;
  for (auto file = std::lower_bound(files.begin(), files.end(), name); file != files.end();
       ++file) {
    offset = *file == name ? offset : 0;
    for (;;) {
      if (bytes_in >= kReadAReply) {
        result.set_more(true);
        result.set_text(*file + ":" + std::to_string(offset));
        return {};
      }
      const std::string bytes = history_.files().Read(*file, offset, size);
      bytes_in += kLeastRead + bytes.size();
      for (size_t at = 0; at < bytes.size(); at += size) {
        const std::string_view one = std::string_view(bytes).substr(at, size);
        uint64_t its_key = 0;
        memcpy(&its_key, one.data(), sizeof its_key);
        its_key = le64toh(its_key);
        const auto source = sources ? names.find(its_key) : names.end();
        if (sources ? source == names.end() : its_key != key) {
          continue;
        }
        bytes_out += kRecordReplyBytes + (sources ? source->second.size() : 0);
        if (bytes_out > kMostReplyBytes && result.points_size() > 0) {
          result.set_more(true);
          result.set_text(*file + ":" + std::to_string(offset + at));
          return {};
        }
        if (sources) {
          if (const auto record = DecodeGrowthSource(one)) {
            wire::GrowthPoint& point = *result.add_points();
            point.set_at(int64_t{record->day} * kSecondsADay);
            point.set_source(source->second);
            point.set_mail(record->bytes);
          }
        } else if (const auto record = DecodeGrowthRecord(one)) {
          AddRecord(*record, result);
        }
      }
      offset += bytes.size();
      if (bytes.size() + size <= GrowthFiles::kMostRead) {
        break;  // there is no more
      }
    }
  }
  return {};
}

Status GrowthWatch::Answer(const wire::GrowthQuery& query, int64_t now, wire::AdminResult& result) {
  if (query.account().empty()) {
    return AnswerAll(query, now, result);
  }
  switch (query.what()) {
    case wire::GrowthQuery::FORECAST: {
      LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(query.account()));
      if (totals.sources == 0 && accounts_.index().FindAccount(query.account()) == nullptr) {
        return Status(Code::kNotFound, "no account of that name");
      }
      return FillAccount(query.account(), now, *result.add_growth());
    }
    case wire::GrowthQuery::WARNINGS:
      return AnswerWarnings(query, result);
    default:
      return AnswerHistory(query, result);
  }
}

}  // namespace hosting

// doveadm hosting growth: how fast accounts grow, when they are full, what that costs; their
// history, and the warnings that were due.
#include <algorithm>
#include <map>

#include "plugin/doveadm-hosting-common.h"
#include "plugin/doveadm-hosting-sheet.h"
#include "quota/growth_rules.h"
#include "quota/growth_wire.h"

namespace {

using hosting::Code;
using hosting::Status;
namespace wire = hosting::wire;

constexpr uint64_t max_top = 1000000;
constexpr uint64_t max_soon = 365;  // kFarthestFullDays

// What the command was asked for.
struct question {
  std::string account, history;
  uint64_t top = 0;            // 0: all
  uint64_t soon = UINT64_MAX;  // days
  bool warnings = false, csv = false;
};

std::string number(uint64_t value) {
  return std::to_string(value);
}

uint64_t used(const wire::GrowthAccount& a) {
  return a.mail() + a.web() + a.external();
}

// Forecasts ---------------------------------------------------------------------------------------

const std::vector<hosting_column> forecast_columns = {
    {"account", false, false},    {"package", false, false}, {"mail", true, false},
    {"web", true, false},         {"external", true, false}, {"total", true, false},
    {"limit", true, false},       {"percent", true, true},   {"growth_a_day", true, true},
    {"last_week", true, true},    {"full_on", false, true},  {"days_to_full", true, true},
    {"overage", true, true},      {"price", true, true},     {"currency", false, true},
    {"kept_percent", true, true}, {"warnings", true, false},
};

void print_forecast(const hosting_sheet& sheet, const wire::GrowthAccount& a) {
  const auto week = static_cast<int64_t>(used(a)) - static_cast<int64_t>(a.week_ago());
  sheet.row({a.account(), a.package(), number(a.mail()), number(a.web()), number(a.external()),
             number(used(a)), number(a.limit()), doveadm_hosting_percent(used(a), a.limit()),
             a.known() ? std::to_string(a.growth_a_day()) : "",
             a.has_week_ago() ? std::to_string(week) : "", a.full_on(),
             a.full_on().empty() ? "" : number(a.days_to_full()),
             a.currency().empty() ? "" : number(a.overage()), a.price(), a.currency(),
             a.has_kept_percent() ? number(a.kept_percent()) : "", number(a.warnings())});
}

// Soonest first; else who grows fastest.
void sort_forecasts(std::vector<wire::GrowthAccount>& accounts, const question& q) {
  std::stable_sort(accounts.begin(), accounts.end(),
                   [&](const wire::GrowthAccount& a, const wire::GrowthAccount& b) {
                     return q.soon != UINT64_MAX ? a.days_to_full() < b.days_to_full()
                                                 : a.growth_a_day() > b.growth_a_day();
                   });
}

Status print_forecasts(hosting::UsageAdmin& admin, const question& q) {
  const hosting_sheet sheet(q.csv, forecast_columns);
  std::vector<wire::GrowthAccount> accounts;
  const bool sorted = q.top != 0 || q.soon != UINT64_MAX;
  Status status = admin.ForEachGrowth(q.account, [&](const wire::GrowthAccount& account) {
    if (!sorted) {
      print_forecast(sheet, account);
    } else if (q.soon == UINT64_MAX ||
               (!account.full_on().empty() && account.days_to_full() <= q.soon)) {
      accounts.push_back(account);
    }
  });
  sort_forecasts(accounts, q);
  if (q.top != 0 && accounts.size() > q.top) {
    accounts.resize(q.top);
  }
  for (const wire::GrowthAccount& account : accounts) {
    print_forecast(sheet, account);
  }
  return status;
}

// History -----------------------------------------------------------------------------------------

const std::vector<hosting_column> history_columns = {
    {"at", false, false},
    {"mail", true, false},
    {"web", true, false},
    {"external", true, false},
    {"total", true, false},
    {"change", true, true},
    {"delivered", true, true},
    {"saved", true, true},
    {"removed_pop3", true, true},
    {"removed_imap", true, true},
    {"removed_retention", true, true},
};

// Of a sum that only grows, unless the ledger was begun anew.
std::string more(uint64_t now, uint64_t before) {
  return number(now >= before ? now - before : now);
}

Status print_history(hosting::UsageAdmin& admin, const question& q, wire::GrowthQuery::What what) {
  // Records of one hour are those of a day that was begun twice: the last one is right.
  std::map<int64_t, wire::GrowthPoint> points;
  Status status = admin.ForEachGrowthPoint(q.account, what, [&](const wire::GrowthPoint& point) {
    points.insert_or_assign(point.at(), point);
  });
  const hosting_sheet sheet(q.csv, history_columns);
  const wire::GrowthPoint* last = nullptr;
  for (const auto& [at, p] : points) {
    const uint64_t total = p.mail() + p.web() + p.external();
    std::vector<std::string> cells = {doveadm_hosting_time(at), number(p.mail()), number(p.web()),
                                      number(p.external()), number(total)};
    if (last == nullptr) {
      cells.resize(history_columns.size());
    } else {
      const uint64_t before = last->mail() + last->web() + last->external();
      const wire::Cause &now = p.causes(), &then = last->causes();
      for (const std::string& cell :
           {std::to_string(static_cast<int64_t>(total - before)),
            more(now.delivered(), then.delivered()), more(now.saved(), then.saved()),
            more(now.removed_pop3(), then.removed_pop3()),
            more(now.removed_imap(), then.removed_imap()),
            more(now.removed_retention(), then.removed_retention())}) {
        cells.push_back(cell);
      }
    }
    sheet.row(cells);
    last = &p;
  }
  return status;
}

Status print_sources(hosting::UsageAdmin& admin, const question& q) {
  const hosting_sheet sheet(
      q.csv, {{"day", false, false}, {"source", false, false}, {"bytes", true, false}});
  return admin.ForEachGrowthPoint(
      q.account, wire::GrowthQuery::SOURCES, [&](const wire::GrowthPoint& point) {
        sheet.row({doveadm_hosting_time(point.at()).substr(0, sizeof "2026-11-22" - 1),
                   point.source(), number(point.mail())});
      });
}

// Warnings ----------------------------------------------------------------------------------------

const std::vector<hosting_column> warning_columns = {
    {"number", true, false},   {"at", false, false},    {"rule", false, false},
    {"threshold", true, true}, {"level", false, false}, {"total", true, false},
    {"limit", true, false},    {"percent", true, true}, {"growth_a_day", true, false},
    {"full_on", false, true},  {"overage", true, true}, {"price", true, true},
    {"currency", false, true},
};

Status print_warnings(hosting::UsageAdmin& admin, const question& q) {
  wire::Admin command;
  command.mutable_growth()->set_account(q.account);
  command.mutable_growth()->set_what(wire::GrowthQuery::WARNINGS);
  const auto result = admin.Call(command);
  if (!result.ok()) {
    return result.status();
  }
  const hosting_sheet sheet(q.csv, warning_columns);
  for (const wire::GrowthWarning& message : result->warnings()) {
    hosting::GrowthWarning w;
    if (!Take(message, &w)) {
      continue;
    }
    const uint64_t total = w.mail + w.web + w.external;
    const bool price = w.rule == hosting::GrowthRule::kOveragePrice;
    sheet.row({number(w.number), doveadm_hosting_time(w.at), NameOf(w.rule),
               price ? w.price_threshold.Format() : number(w.threshold), NameOf(w.level),
               number(total), number(w.limit), doveadm_hosting_percent(total, w.limit),
               std::to_string(w.growth_a_day), w.full_on ? w.full_on->Text() : "",
               w.currency.empty() ? "" : number(w.overage),
               w.currency.empty() ? "" : w.price.Format(), w.currency});
  }
  return {};
}

// The command -------------------------------------------------------------------------------------

Status read_number(struct doveadm_cmd_context* cctx, const char* name, uint64_t least,
                   uint64_t most, uint64_t* value) {
  const std::string text = doveadm_hosting_param(cctx, name);
  if (text.empty()) {
    return {};
  }
  const bool digits = text.size() <= 9 && std::all_of(text.begin(), text.end(),
                                                      [](char c) { return c >= '0' && c <= '9'; });
  const uint64_t read = digits ? std::stoull(text) : UINT64_MAX;
  if (read < least || read > most) {
    return Status(Code::kInvalid, std::string("growth: --") + name + " takes a number from " +
                                      number(least) + " to " + number(most));
  }
  *value = read;
  return {};
}

Status read_question(struct doveadm_cmd_context* cctx, question* q) {
  q->account = doveadm_hosting_param(cctx, "account");
  q->history = doveadm_hosting_param(cctx, "history");
  q->warnings = doveadm_hosting_flag(cctx, "warnings");
  q->csv = doveadm_hosting_flag(cctx, "csv");
  Status status = read_number(cctx, "top", 1, max_top, &q->top);
  if (status.ok()) {
    status = read_number(cctx, "soon", 0, max_soon, &q->soon);
  }
  if (!status.ok()) {
    return status;
  }
  if (q->account.empty() && (q->warnings || !q->history.empty())) {
    return Status(Code::kInvalid, "growth: --history and --warnings are of one account");
  }
  const bool all = q->top != 0 || q->soon != UINT64_MAX;
  if (!q->account.empty() && all) {
    return Status(Code::kInvalid, "growth: --top and --soon are of all accounts");
  }
  return {};
}

Status answer(hosting::UsageAdmin& admin, const question& q) {
  if (q.warnings) {
    return print_warnings(admin, q);
  }
  if (q.history == "days") {
    return print_history(admin, q, wire::GrowthQuery::DAYS);
  }
  if (q.history == "hours") {
    return print_history(admin, q, wire::GrowthQuery::HOURS);
  }
  if (q.history == "sources") {
    return print_sources(admin, q);
  }
  return q.history.empty()
             ? print_forecasts(admin, q)
             : Status(Code::kInvalid, "growth: --history takes days, hours or sources");
}

}  // namespace

void cmd_hosting_growth(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(doveadm_hosting_flag(cctx, "csv") ? DOVEADM_PRINT_TYPE_FLOW
                                                       : DOVEADM_PRINT_TYPE_TABLE);
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    question q;
    const Status status = read_question(cctx, &q);
    return status.ok() ? answer(admin, q) : status;
  });
}

#include "quota/growth_outbox.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include <xxhash.h>

#include "quota/growth_text.h"
#include "quota/growth_wire.h"
#include "quota/ledger_rows.h"
#include "quota/shown_name.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;             // seconds
constexpr int64_t kAlertFor = 7 * kDay;     // that a warning is shown by IMAP
constexpr int64_t kGiveUpAfter = 3 * kDay;  // trying to deliver
constexpr uint32_t kTriesAtOnce = 3;        // of one with which hosting-warn ended
constexpr int64_t kFirstPause = 60, kMaxPause = 3600;
constexpr uint32_t kPercentBelow = 3;  // an alert ends once so many points less are used
constexpr int64_t kSweepPause = 10;    // seconds
constexpr size_t kSweptATick = 500;

constexpr std::string_view kTasks = "warn/task/", kAlerts = "warn/alert/", kTold = "warn/told/",
                           kSent = "warn/sent/";

// The name itself, or what stands for one that is too long for a key.
std::string RowKey(std::string_view prefix, std::string_view name) {
  std::string key(prefix);
  if (prefix.size() + name.size() <= kMaxValueKeyBytes) {
    return key.append(name);
  }
  const XXH128_hash_t hash = XXH3_128bits(name.data(), name.size());
  key.append(name.substr(0, 200));
  return key + std::to_string(hash.high64) + "." + std::to_string(hash.low64);
}

std::string TasksOf(GrowthOutbox::Way way) {
  return std::string(kTasks) + std::to_string(way) + "/";
}

// The same for the same warning and recipient, and in the order of time.
std::string TaskKey(const wire::WarnTask& task) {
  const wire::GrowthWarning& warning = task.warning();
  std::string name = warning.account();
  name += '\0' + std::to_string(warning.number()) + '\0' + task.recipient();
  const XXH128_hash_t hash = XXH3_128bits(name.data(), name.size());
  char tail[64];
  (void)snprintf(tail, sizeof tail, "%012lld.%016llx%016llx",
                 static_cast<long long>(std::max<int64_t>(task.made_at(), 0)),
                 static_cast<unsigned long long>(hash.high64),
                 static_cast<unsigned long long>(hash.low64));
  return TasksOf(task.way()) + tail;
}

template <typename Message>
Result<std::optional<Message>> Get(Ledger& ledger, const std::string& key) {
  const auto value = ledger.GetValue(key);
  if (!value.ok()) {
    return value.status().code() == Code::kNotFound
               ? Result<std::optional<Message>>(std::nullopt)
               : Result<std::optional<Message>>(value.status());
  }
  Message message;
  if (!message.ParseFromString(*value)) {
    return std::optional<Message>();
  }
  return std::optional<Message>(std::move(message));
}

uint64_t PercentOf(uint64_t used, uint64_t limit) {
  return limit == 0 ? 0 : static_cast<uint64_t>(static_cast<unsigned __int128>(used) * 100 / limit);
}

}  // namespace

void GrowthOutbox::Note(LogLevel level, const wire::WarnTask& task, const std::string& what) {
  log_(level, "growth warning " + std::to_string(task.warning().number()) + " of account " +
                  Printable(ShownName(task.warning().account())) +
                  (task.way() == wire::WarnTask::SCRIPT
                       ? ", script: "
                       : ", mail to " + Printable(ShownName(task.recipient(), 255)) + ": ") +
                  what);
}

// Taking warnings on ----------------------------------------------------------------------------

Status GrowthOutbox::Deliver(const GrowthWarning& warning) {
  const std::string key = RowKey(kSent, warning.account);
  LBOX_ASSIGN_OR_RETURN(const auto found, Get<wire::WarnSent>(ledger_, key));
  wire::WarnSent sent = found.value_or(wire::WarnSent());
  if (warning.number == sent.number()) {
    return {};  // taken on before, and what came after it failed
  }
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(warning.account));
  if (!effective) {
    return {};  // it has left the policy
  }
  // One a day, unless it is more urgent: several rules often find the same.
  const bool mail = std::abs(warning.at - sent.mail_at()) >= kDay ||
                    static_cast<uint32_t>(warning.level) > sent.mail_level();
  sent.set_number(warning.number);
  if (mail && effective->package->warn[kWarnMail]) {
    sent.set_mail_at(warning.at);
    sent.set_mail_level(static_cast<uint32_t>(warning.level));
  }
  // First: rather a part of a warning is lost than one sent twice.
  LBOX_RETURN_IF_ERROR(ledger_.PutValue(key, sent.SerializeAsString()));
  return Queue(warning, *effective, mail);
}

Result<size_t> GrowthOutbox::DeliverTrial(const GrowthWarning& warning) {
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(warning.account));
  if (!effective) {
    return Status(Code::kNotFound, "no account of that name");
  }
  LBOX_RETURN_IF_ERROR(Queue(warning, *effective, true));
  return queued_;
}

Status GrowthOutbox::Queue(const GrowthWarning& warning, const Effective& effective, bool mail) {
  const auto& ways = effective.package->warn;
  queued_ = 0;
  if (ways[kWarnImap]) {
    wire::WarnAlert alert;
    Fill(warning, alert.mutable_warning());
    alert.set_until(warning.at + kAlertFor);
    LBOX_RETURN_IF_ERROR(
        ledger_.PutValue(RowKey(kAlerts, warning.account), alert.SerializeAsString()));
  }
  if (helper_ && ways[kWarnMail] && mail) {
    LBOX_RETURN_IF_ERROR(QueueMail(warning, effective));
  }
  if (helper_ && ways[kWarnScript]) {
    wire::WarnTask task;
    Fill(warning, task.mutable_warning());
    task.set_way(wire::WarnTask::SCRIPT);
    LBOX_RETURN_IF_ERROR(Put(task));
  }
  announcements_.push_back({warning, ways[kWarnEvent], ways[kWarnLog]});
  return {};
}

Status GrowthOutbox::Put(const wire::WarnTask& task) {
  wire::WarnTask made = task;
  made.set_made_at(task.warning().at());
  ++queued_;
  return ledger_.PutValue(TaskKey(made), made.SerializeAsString());
}

Result<std::vector<std::pair<std::string, uint64_t>>> GrowthOutbox::LargestSources(
    const std::string& account, bool mail_only) {
  std::vector<std::pair<std::string, uint64_t>> sources;
  const auto smaller = [](const auto& a, const auto& b) { return a.second > b.second; };
  LBOX_RETURN_IF_ERROR(
      ledger_.ForEachSource(account, {}, [&](const SourceId& id, const SourceRow& row) {
        if (row.bytes != 0 && (id.kind == SourceKind::kMail || !mail_only)) {
          sources.emplace_back(id.name, row.bytes);
          std::push_heap(sources.begin(), sources.end(), smaller);
          if (sources.size() > kWarnedMailboxes) {
            std::pop_heap(sources.begin(), sources.end(), smaller);
            sources.pop_back();
          }
        }
        return true;
      }));
  std::sort_heap(sources.begin(), sources.end(), smaller);
  return sources;
}

Status GrowthOutbox::QueueMail(const GrowthWarning& warning, const Effective& effective) {
  wire::WarnTask task;
  Fill(warning, task.mutable_warning());
  task.set_way(wire::WarnTask::MAIL);
  const std::string contact = effective.account != nullptr ? effective.account->contact : "";
  if (!contact.empty()) {
    task.set_recipient(contact);
    task.set_contact(true);
    // Only whom the policy knows: a userdb may say yes to every name.
    task.set_mailbox(accounts_.index().AccountOfUser(contact) != nullptr);
    LBOX_RETURN_IF_ERROR(Put(task));
  }
  LBOX_ASSIGN_OR_RETURN(const auto largest, LargestSources(warning.account, true));
  task.set_contact(false);
  task.set_mailbox(true);
  for (const auto& [user, bytes] : largest) {
    if (user != contact) {
      task.set_recipient(user);
      LBOX_RETURN_IF_ERROR(Put(task));
    }
  }
  return {};
}

// IMAP ------------------------------------------------------------------------------------------

Result<std::string> GrowthOutbox::Alert(const std::string& user, const Effective& effective,
                                        int64_t now) {
  if (!effective.package->warn[kWarnImap]) {
    return std::string();
  }
  LBOX_ASSIGN_OR_RETURN(const auto alert,
                        Get<wire::WarnAlert>(ledger_, RowKey(kAlerts, effective.account_name)));
  GrowthWarning warning;
  if (!alert || now >= alert->until() || !hosting::Take(alert->warning(), &warning)) {
    return std::string();
  }
  // As it is now.
  LBOX_ASSIGN_OR_RETURN(const AccountTotals totals, ledger_.Totals(effective.account_name));
  warning.mail = totals.mail;
  warning.web = totals.web;
  warning.external = totals.external;
  warning.limit = effective.limit;
  const uint64_t used = totals.mail + totals.web + totals.external;
  const uint64_t percent = PercentOf(used, warning.limit);
  warning.percent = static_cast<uint32_t>(std::min<uint64_t>(percent, UINT32_MAX));
  warning.level =
      warning.limit != 0 && used >= warning.limit ? GrowthLevel::kFull : GrowthLevel::kWarning;
  if (warning.rule == GrowthRule::kPercent && percent + kPercentBelow < warning.threshold) {
    return std::string();
  }
  const std::string key = RowKey(kTold, user);
  LBOX_ASSIGN_OR_RETURN(const auto told, Get<wire::WarnAlert>(ledger_, key));
  if (told && std::abs(now - told->until()) < kDay) {
    return std::string();
  }
  wire::WarnAlert note;
  note.set_until(now);
  LBOX_RETURN_IF_ERROR(ledger_.PutValue(key, note.SerializeAsString()));
  GrowthReader reader;
  const Policy& policy = accounts_.policy();
  reader.user = user;
  reader.language = effective.account != nullptr && !effective.account->language.empty()
                        ? effective.account->language
                        : policy.protocols.language;
  reader.texts = policy.warnings.texts;
  reader.pop3_host = policy.protocols.pop3_host;
  reader.upgrade_url = policy.protocols.upgrade_url;
  return WriteGrowthAlert(warning, reader);
}

// The helper ------------------------------------------------------------------------------------

Result<wire::WarnJob> GrowthOutbox::JobOf(uint64_t id, const wire::WarnTask& task) {
  const Policy& policy = accounts_.policy();
  const std::string& account_name = task.warning().account();
  const Account* const account = accounts_.index().FindAccount(account_name);
  wire::WarnJob job;
  job.set_id(id);
  *job.mutable_task() = task;
  job.set_language(account != nullptr && !account->language.empty() ? account->language
                                                                    : policy.protocols.language);
  for (size_t i = 0; i < kGrowthPhrases; ++i) {
    job.add_phrases(
        std::string(PhraseOf(policy.warnings.texts, job.language(), static_cast<GrowthPhrase>(i))));
  }
  job.set_from(policy.warnings.from);
  job.set_pop3_host(policy.protocols.pop3_host);
  job.set_pop3_port(policy.protocols.pop3_port);
  job.set_upgrade_url(policy.protocols.upgrade_url);
  if (task.contact()) {
    LBOX_ASSIGN_OR_RETURN(const auto largest, LargestSources(account_name, false));
    for (const auto& [name, bytes] : largest) {
      wire::WarnItem* const item = job.add_largest();
      item->set_name(ShownName(name));
      item->set_bytes(bytes);
    }
  }
  return job;
}

Result<std::optional<wire::WarnJob>> GrowthOutbox::Take(Way way, int64_t now) {
  if (out_[way]) {
    return std::optional<wire::WarnJob>();
  }
  std::optional<Out> next;
  std::vector<std::string> useless;
  std::vector<wire::WarnTask> in_doubt;
  LBOX_RETURN_IF_ERROR(
      ledger_.ForEachValue(TasksOf(way), "", [&](std::string_view key, std::string_view value) {
        wire::WarnTask task;
        if (!task.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
          useless.emplace_back(key);
          return true;
        }
        if (task.begun() && !task.mailbox()) {
          useless.emplace_back(key);
          in_doubt.push_back(std::move(task));
          return true;
        }
        // A clock that was set back does not hold it up for longer than any pause.
        if (task.not_before() > now && task.not_before() - now <= kMaxPause) {
          return true;
        }
        next = Out{std::string(key), std::move(task)};
        return false;
      }));
  for (const std::string& key : useless) {
    LBOX_RETURN_IF_ERROR(ledger_.RemoveValue(key));
  }
  for (const wire::WarnTask& task : in_doubt) {
    Note(LogLevel::kError, task,
         "it was under way when hosting-usage or hosting-warn ended. It is not repeated, since it "
         "may have been done");
  }
  if (!next) {
    return std::optional<wire::WarnJob>();
  }
  const uint64_t id = next_id_++;
  // With begun as it was before: the helper looks whether it was delivered then.
  LBOX_ASSIGN_OR_RETURN(auto job, JobOf(id, next->task));
  next->task.set_begun(true);
  LBOX_RETURN_IF_ERROR(ledger_.PutValue(next->key, next->task.SerializeAsString()));
  out_[way] = std::move(next);
  out_id_[way] = id;
  return std::optional<wire::WarnJob>(std::move(job));
}

Status GrowthOutbox::Retry(const Out& out, int64_t now, const std::string& why) {
  wire::WarnTask task = out.task;
  if (now - task.made_at() >= kGiveUpAfter) {
    Note(LogLevel::kError, task, "given up after three days: " + why);
    return ledger_.RemoveValue(out.key);
  }
  if (task.tries() == 0) {
    Note(LogLevel::kWarning, task, "not delivered yet: " + why);
  }
  const uint32_t doublings = std::min<uint32_t>(task.tries(), 6);
  task.set_not_before(now + std::min(kFirstPause << doublings, kMaxPause));
  task.set_tries(task.tries() + 1);
  return ledger_.PutValue(out.key, task.SerializeAsString());
}

Status GrowthOutbox::Done(const wire::WarnDone& done, int64_t now) {
  for (int way = 0; way < wire::WarnTask::Way_ARRAYSIZE; ++way) {
    if (!out_[way] || out_id_[way] != done.id()) {
      continue;
    }
    Out out = *std::exchange(out_[way], std::nullopt);
    const std::string text = Printable(ShownName(done.text(), 500));
    switch (done.outcome()) {
      case wire::WarnDone::DONE:
        Note(LogLevel::kInfo, out.task, text.empty() ? "done" : text);
        return ledger_.RemoveValue(out.key);
      case wire::WarnDone::NOBODY:
        Note(LogLevel::kInfo, out.task, "nobody there: " + text);
        return ledger_.RemoveValue(out.key);
      case wire::WarnDone::FAILED:
        Note(LogLevel::kError, out.task, "failed: " + text);
        return ledger_.RemoveValue(out.key);
      default:
        // Known not to have been done; a mailbox is looked into again all the same.
        out.task.set_begun(out.task.mailbox());
        return Retry(out, now, text);
    }
  }
  return Status(Code::kInvalid, "hosting-warn answers what it was not asked");
}

Status GrowthOutbox::Lost(uint64_t id, bool sent, int64_t now) {
  for (int way = 0; way < wire::WarnTask::Way_ARRAYSIZE; ++way) {
    if (out_[way] && out_id_[way] == id) {
      Out out = *std::exchange(out_[way], std::nullopt);
      if (sent && !out.task.mailbox()) {
        return {};  // its row says that it was begun: Take tells what becomes of it
      }
      out.task.set_begun(sent);
      if (sent && out.task.tries() < kTriesAtOnce) {
        out.task.set_tries(out.task.tries() + 1);
        return ledger_.PutValue(out.key, out.task.SerializeAsString());
      }
      return Retry(out, now, "hosting-warn ended or is away");
    }
  }
  return {};
}

// Upkeep ----------------------------------------------------------------------------------------

Status GrowthOutbox::Tick(int64_t now) {
  if (std::abs(now - swept_at_) < kSweepPause) {
    return {};
  }
  swept_at_ = now;
  std::vector<std::string> old;
  size_t seen = 0;
  const auto look = [&](std::string_view key, std::string_view value) {
    wire::WarnAlert row;
    const bool told = key.starts_with(kTold);
    if (!row.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
        std::abs(now - row.until()) > (told ? 2 * kDay : kAlertFor + kDay)) {
      old.emplace_back(key);
    }
    swept_ = key;
    return ++seen < kSweptATick;
  };
  for (const std::string_view prefix : {kAlerts, kTold}) {
    if (seen < kSweptATick && (swept_.empty() || swept_ < prefix || swept_.starts_with(prefix))) {
      LBOX_RETURN_IF_ERROR(
          ledger_.ForEachValue(prefix, swept_.starts_with(prefix) ? swept_ : "", look));
    }
  }
  if (seen < kSweptATick) {
    swept_.clear();
  }
  for (const std::string& key : old) {
    LBOX_RETURN_IF_ERROR(ledger_.RemoveValue(key));
  }
  return {};
}

Result<size_t> GrowthOutbox::waiting() {
  size_t count = 0;
  LBOX_RETURN_IF_ERROR(ledger_.ForEachValue(kTasks, "", [&](std::string_view, std::string_view) {
    ++count;
    return true;
  }));
  return count;
}

std::string GrowthOutbox::under_way() const {
  std::string ways = out_[wire::WarnTask::MAIL] ? "mail" : "";
  if (out_[wire::WarnTask::SCRIPT]) {
    ways += ways.empty() ? "script" : ", script";
  }
  return ways.empty() ? "none" : ways;
}

}  // namespace hosting

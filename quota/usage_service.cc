#include "quota/usage_service.h"

#include <algorithm>

#include "quota/growth_text.h"
#include "quota/ledger_rows.h"
#include "quota/spool.h"
#include "quota/pop3_rules.h"
#include "quota/usage_causes.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

constexpr std::string_view kRecountService = "hosting-recount";
constexpr size_t kMaxNameBytes = 255;  // of a user, an account or a package
// A commit, during which nobody is answered, takes at most the 200th part of the time: so the 99th
// percentile of all waiting does not see it.
constexpr int64_t kFlushShare = 200;
constexpr int64_t kLongestBatchMs = 5000;
constexpr int64_t kFailureLogMs = 60000;

constexpr std::string_view kBootKey = "service/boot";
constexpr std::string_view kCleanKey = "service/clean";

bool IsName(const std::string& name) {
  return name.size() <= kMaxNameBytes && std::none_of(name.begin(), name.end(), [](char c) {
           return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
         });
}

bool Has(const std::vector<uint32_t>& uids, uint32_t uid) {
  return std::find(uids.begin(), uids.end(), uid) != uids.end();
}

}  // namespace

UsageService::UsageService(Ledger& ledger, std::shared_ptr<const LoadedPolicy> policy,
                           Options options)
    : ledger_(ledger),
      options_(std::move(options)),
      accounts_(ledger, std::move(policy)),
      mail_(ledger, accounts_, recounts_, options_.clock, options_.log),
      web_(ledger, accounts_, schedule_, options_.log),
      billing_(ledger, accounts_, options_.log,
               [this](const std::string& account) { return Hour(account); }),
      outbox_(ledger, accounts_, options_.warn_helper, options_.log) {
  if (!options_.growth_folder.empty()) {
    growth_ = std::make_unique<GrowthWatch>(ledger_, accounts_, options_.growth_folder,
                                            options_.log, &outbox_);
    accounts_.OnChange([this](const std::string& account) { growth_->Changed(account); });
  }
}

UsageService::~UsageService() = default;

// Start and stop ------------------------------------------------------------------------------

Status UsageService::Start() {
  auto pulse = SharedPage::Create("hosting-pulse");
  if (!pulse.ok()) {
    return pulse.status();
  }
  pulse_.emplace(std::move(*pulse));
  pulse_->As<PulsePage>()->beat = options_.clock.boot_ms();

  LBOX_ASSIGN_OR_RETURN(const auto damage, ledger_.Verify());
  if (!damage.empty()) {
    LBOX_ASSIGN_OR_RETURN(const auto mended, ledger_.Mend());
    for (const std::string& text : mended) {
      options_.log(LogLevel::kError, "mended: " + text);
    }
  }
  const auto boot = ledger_.GetValue(kBootKey);
  const bool clean = ledger_.GetValue(kCleanKey).ok();
  const bool unclean = boot.ok() && *boot != options_.boot_id && !clean;
  if (unclean) {
    options_.log(LogLevel::kWarning,
                 "this machine went down without notice: all mail is counted again, and no limit "
                 "of an account is enforced before that");
  }
  LBOX_RETURN_IF_ERROR(mail_.Start(unclean));
  if (growth_) {
    growth_->Start(options_.clock.now());
  }
  LBOX_RETURN_IF_ERROR(web_.FollowPolicy(mail_, options_.clock.now()));
  LBOX_RETURN_IF_ERROR(ledger_.PutValue(kBootKey, options_.boot_id));
  LBOX_RETURN_IF_ERROR(ledger_.RemoveValue(kCleanKey));
  return ledger_.Commit();
}

Status UsageService::Stop() {
  LBOX_RETURN_IF_ERROR(ledger_.PutValue(kCleanKey, options_.boot_id));
  return ledger_.Commit();
}

void UsageService::SetPolicy(std::shared_ptr<const LoadedPolicy> policy) {
  Status status = accounts_.SetPolicy(std::move(policy));
  if (status.ok()) {
    status = web_.FollowPolicy(mail_, options_.clock.now());
  }
  if (!status.ok()) {
    Failed(status);
  }
  if (growth_) {
    for (const Account& account : accounts_.policy().accounts) {
      growth_->Changed(account.name);  // another limit is another percentage of it
    }
  }
  RecheckSessions();
}

void UsageService::Tick() {
  pulse_->As<PulsePage>()->beat.store(options_.clock.boot_ms(), std::memory_order_relaxed);
  if (damaged_) {
    const auto mended = ledger_.Mend();
    damaged_ = false;
    for (const std::string& text : mended.ok() ? *mended : std::vector<std::string>()) {
      options_.log(LogLevel::kError, "mended: " + text);
    }
    if (const Status status = mended.ok() ? mail_.Start(false) : mended.status(); !status.ok()) {
      Failed(status);
    }
  }
  const int64_t passed_ms =
      options_.clock.passed_ms ? options_.clock.passed_ms() : options_.clock.boot_ms();
  for (const Status& status : {mail_.Tick(), billing_.Tick(options_.clock.now(), passed_ms),
                               outbox_.Tick(options_.clock.now())}) {
    if (!status.ok()) {
      Failed(status);
    }
  }
  if (growth_) {
    growth_->Tick(options_.clock.now(), options_.clock.boot_ms());
  }
  schedule_.Tick(options_.clock.now());
  Measure();
}

Status UsageService::Hour(const std::string& account) {
  if (growth_) {
    LBOX_RETURN_IF_ERROR(growth_->Hour(account, options_.clock.now()));
  }
  return mail_.QueueDue(account);
}

Status UsageService::Flush() {
  if (!ledger_.uncommitted()) {
    commit_now_ = false;
    return {};
  }
  const int64_t now = options_.clock.boot_ms();
  const int64_t pause = std::min(commit_ms_ * kFlushShare, kLongestBatchMs);
  Status status;
  if (commit_now_ || now - committed_at_ms_ >= std::max<int64_t>(pause, 20)) {
    status = ledger_.Commit();
    committed_at_ms_ = options_.clock.boot_ms();
    commit_ms_ = committed_at_ms_ - now;
  } else {
    status = ledger_.Save();
  }
  commit_now_ = false;
  if (!status.ok()) {
    Failed(status);
    return status;
  }
  for (const auto& announcement : outbox_.TakeAnnouncements()) {
    if (options_.announce) {
      options_.announce(announcement);
    } else if (announcement.log) {
      options_.log(LogLevel::kInfo, WriteGrowthLog(announcement.warning));
    }
  }
  return {};
}

std::vector<Outgoing> UsageService::TakeOutgoing() {
  return std::exchange(outgoing_, {});
}

// Who may what ----------------------------------------------------------------------------------

bool UsageService::Trusted(uint32_t uid) const {
  return uid == 0 || Has(policy().service.mail_uids, uid) || MayCount(uid);
}

bool UsageService::MayCount(uint32_t uid) const {
  return uid == 0 || Has(policy().service.recount_uids, uid);
}

bool UsageService::MayAdminister(uint32_t uid) const {
  return uid == 0 || Has(policy().service.admin_uids, uid);
}

bool UsageService::MayMeasure(uint32_t uid) const {
  return uid == 0 || Has(policy().service.web_uids, uid);
}

Result<std::optional<Effective>> UsageService::Allowed(uint32_t uid, const wire::Hello& hello,
                                                       UserdbFields& fields) {
  fields = {};
  if (Trusted(uid)) {
    fields.account = hello.account();
    fields.package = hello.package();
    if (hello.has_overrides() && hello.overrides().has_extra_space()) {
      fields.extra_space = hello.overrides().extra_space();
    }
    if (hello.has_overrides() && hello.overrides().has_mailbox_limit()) {
      fields.mailbox_limit = hello.overrides().mailbox_limit();
    }
  } else {
    // A customer's own uid: what it says of its userdb fields is not taken.
    const Account* const account = accounts_.index().AccountOfUser(hello.user());
    if (account == nullptr || account->uid != uid) {
      return Status(Code::kPermission, "this uid may not speak for this user");
    }
  }
  std::string problem;
  auto effective = accounts_.index().EffectiveOf(hello.user(), fields, &problem);
  if (!problem.empty()) {
    options_.log(LogLevel::kWarning, Printable(hello.user()) + ": " + problem);
  }
  return effective;
}

// Replies ---------------------------------------------------------------------------------------

void UsageService::Answer(SessionId id, uint64_t request) {
  Outgoing out;
  out.session = id;
  out.reply.set_id(request);
  outgoing_.push_back(std::move(out));
}

void UsageService::Refuse(SessionId id, uint64_t request, wire::Error::Kind kind,
                          const std::string& text) {
  Answer(id, request);
  auto& error = *outgoing_.back().reply.mutable_error();
  error.set_kind(kind);
  error.set_text(Printable(text));
}

void UsageService::Failed(const Status& status) {
  damaged_ = damaged_ || status.code() == Code::kCorruption;
  const int64_t now = options_.clock.boot_ms();
  if (failure_logged_ms_ == 0 || now - failure_logged_ms_ >= kFailureLogMs) {
    failure_logged_ms_ = now;
    options_.log(LogLevel::kError, status.message());
  }
}

void UsageService::Fail(SessionId id, uint64_t request, const Status& status) {
  switch (status.code()) {
    case Code::kNotFound:
      return Refuse(id, request, wire::Error::UNKNOWN, status.message());
    case Code::kInvalid:
      return Refuse(id, request, wire::Error::INVALID, status.message());
    case Code::kPermission:
      return Refuse(id, request, wire::Error::REFUSED, status.message());
    default:
      Failed(status);
      return Refuse(id, request, wire::Error::TRY_AGAIN, "the service has a problem: see its log");
  }
}

// Sessions --------------------------------------------------------------------------------------

void UsageService::Connected(SessionId id, uint32_t uid) {
  sessions_[id].uid = uid;
}

bool UsageService::Introduced(SessionId id) const {
  const auto at = sessions_.find(id);
  return at != sessions_.end() && at->second.introduced;
}

void UsageService::LetGo(Session& session) {
  if (std::exchange(session.has_page, false)) {
    accounts_.Release(session.account);
  }
}

void UsageService::Depart(Session& session, bool lost) {
  if (!std::exchange(session.open, false)) {
    return;
  }
  LetGo(session);
  if (session.counts && !session.account.empty()) {
    const Status status = lost ? mail_.Lose(session.user, session.account)
                               : mail_.Close(session.user, session.account);
    if (!status.ok()) {
      Failed(status);
    }
  }
}

void UsageService::Disconnected(SessionId id) {
  const auto at = sessions_.find(id);
  if (at == sessions_.end()) {
    return;
  }
  Depart(at->second, true);
  sessions_.erase(at);
  if (meter_ == id) {
    meter_ = 0;
    schedule_.Lost(options_.clock.now());
  }
}

void UsageService::Handle(SessionId id, const wire::Request& request) {
  const auto at = sessions_.find(id);
  if (at == sessions_.end()) {
    return;
  }
  Session& session = at->second;
  if (request.id() == 0) {
    return Refuse(id, 0, wire::Error::INVALID, "a request's id is not 0");
  }
  switch (request.body_case()) {
    case wire::Request::kHello:
      return HandleHello(id, session, request);
    case wire::Request::kReport:
      return HandleReport(id, session, request);
    case wire::Request::kBye:
      return HandleBye(id, session, request);
    case wire::Request::kMeasured:
      return HandleMeasured(id, session, request);
    case wire::Request::kAdmin:
      return HandleAdmin(id, session, request);
    case wire::Request::kWebMeter:
      return HandleWebMeter(id, session, request);
    case wire::Request::kLogin:
      return HandleLogin(id, session, request);
    case wire::Request::BODY_NOT_SET:
      break;
  }
  Refuse(id, request.id(), wire::Error::INVALID, "a request of no known kind");
}

Result<wire::Welcome> UsageService::MakeWelcome(const Session& session,
                                                const std::optional<Effective>& effective) {
  wire::Welcome welcome;
  const ServiceOptions& service = policy().service;
  welcome.set_unavailable_tempfail(service.unavailable_tempfail);
  welcome.set_over_limit_tempfail(service.over_limit_tempfail);
  welcome.set_mail_stale_after(service.mail_stale_after);
  if (!effective) {
    return welcome;
  }
  welcome.set_account(effective->account_name);
  welcome.set_package(effective->package->name);
  welcome.set_mailbox_limit(effective->mailbox_limit);
  welcome.set_message_limit(effective->message_limit);
  welcome.set_web_stale_after(2 * static_cast<uint64_t>(effective->package->web_interval));
  welcome.set_grace(effective->grace);
  Fill(Pop3RulesOf(*effective, policy().protocols), welcome.mutable_pop3());
  const auto row = ledger_.Get({effective->account_name, SourceKind::kMail, session.user});
  if (row.ok()) {
    welcome.mutable_mailbox()->set_bytes(row->bytes);
    welcome.mutable_mailbox()->set_messages(row->messages);
    welcome.mutable_mailbox()->set_disk(row->disk);
  } else if (row.status().code() != Code::kNotFound) {
    return row.status();
  }
  return welcome;
}

void UsageService::HandleHello(SessionId id, Session& session, const wire::Request& request) {
  const wire::Hello& hello = request.hello();
  if (session.open || session.meter || hello.user().empty() || !IsName(hello.user()) ||
      !IsName(hello.account()) || !IsName(hello.package())) {
    return Refuse(id, request.id(), wire::Error::INVALID,
                  "Hello comes once, with names of printable characters, 255 at most");
  }
  UserdbFields fields;
  const auto allowed = Allowed(session.uid, hello, fields);
  if (!allowed.ok()) {
    return Fail(id, request.id(), allowed.status());
  }
  const std::optional<Effective>& effective = *allowed;
  session.introduced = true;
  session.user = hello.user();
  session.fields = fields;
  session.counts = hello.service() != kRecountService;
  session.account = effective ? effective->account_name : "";
  session.counter_at.reset();
  std::vector<int> descriptors;
  Status status;
  if (effective) {
    const auto row = mail_.Open(session.user, {session.account, !fields.account.empty()},
                                session.counts, hello.returning());
    if (!row.ok()) {
      return Fail(id, request.id(), row.status());
    }
    session.counter_at = row->counter;
    session.open = true;
    if (Trusted(session.uid)) {
      status = accounts_.TakeFields(session.account, fields);
    }
    const auto page = accounts_.Acquire(session.account);
    session.has_page = page.ok();
    if (status.ok() && page.ok()) {
      status = accounts_.Refresh(session.account);
      descriptors = {*page, pulse_fd()};
    } else if (status.ok()) {
      status = page.status();
    }
  }
  session.open = true;
  const auto welcome =
      status.ok() ? MakeWelcome(session, effective) : Result<wire::Welcome>(status);
  if (!welcome.ok()) {
    Depart(session, false);
    return Fail(id, request.id(), welcome.status());
  }
  Answer(id, request.id());
  *outgoing_.back().reply.mutable_welcome() = *welcome;
  outgoing_.back().descriptors = std::move(descriptors);
  session.welcome = welcome->SerializeAsString();
}

void UsageService::HandleLogin(SessionId id, Session& session, const wire::Request& request) {
  const wire::Login& login = request.login();
  wire::Hello hello;
  hello.set_user(login.user());
  hello.set_account(login.account());
  hello.set_package(login.package());
  if (!IsName(login.user()) || !IsName(login.account()) || !IsName(login.package())) {
    return Refuse(id, request.id(), wire::Error::INVALID, "no user has such a name");
  }
  UserdbFields fields;
  const auto allowed = Allowed(session.uid, hello, fields);
  if (!allowed.ok()) {
    return Fail(id, request.id(), allowed.status());
  }
  session.introduced = true;
  Answer(id, request.id());
  wire::Verdict& verdict = *outgoing_.back().reply.mutable_verdict();
  verdict = logins_.Of(policy().protocols, *allowed, login, options_.clock.now());
  if (login.alert() && *allowed && verdict.access() != wire::Verdict::DENY) {
    auto alert = outbox_.Alert(login.user(), **allowed, options_.clock.now());
    if (alert.ok()) {
      verdict.set_alert(std::move(*alert));
    } else {
      Failed(alert.status());
    }
  }
}

void UsageService::HandleReport(SessionId id, Session& session, const wire::Request& request) {
  const wire::Report& report = request.report();
  std::string user = session.user;
  std::string account = session.account;
  UsageMail::Claim claim{Trusted(session.uid), session.counter_at};
  if (!report.user().empty() && (!session.open || report.user() != session.user)) {
    if (!MayCount(session.uid)) {
      return Refuse(id, request.id(), wire::Error::REFUSED, "this uid may report its user only");
    }
    if (!IsName(report.user())) {
      return Refuse(id, request.id(), wire::Error::INVALID, "no user has such a name");
    }
    user = report.user();
    claim.counter_at.reset();
    session.introduced = true;
    const auto place = mail_.PlaceOf(user);
    const Account* const known = accounts_.index().AccountOfUser(user);
    account = place.ok() ? place->account : known != nullptr ? known->name : "";
  } else if (!session.open) {
    return Refuse(id, request.id(), wire::Error::INVALID, "Hello comes first");
  }
  if (account.empty()) {
    return Answer(id, request.id());  // of no account: nothing to keep
  }
  if (!report.has_usage()) {
    Count(account, report.cause());
    return Answer(id, request.id());
  }
  const auto outcome = mail_.Take(user, account, report, claim);
  if (!outcome.ok()) {
    return Fail(id, request.id(), outcome.status());
  }
  switch (*outcome) {
    case UsageMail::Outcome::kInvalid:
      return Refuse(id, request.id(), wire::Error::INVALID, "no such figures");
    case UsageMail::Outcome::kRecount:
      Refuse(id, request.id(), wire::Error::RECOUNT, "this mailbox is counted again first");
      break;
    case UsageMail::Outcome::kTaken:
      Answer(id, request.id());
      break;
  }
  Count(account, report.cause());
}

void UsageService::Count(const std::string& account, const wire::Cause& cause) {
  const Account* const known = accounts_.index().FindAccount(account);
  const Status status = AddCauses(ledger_, account, known != nullptr ? known->time_zone : "UTC",
                                  options_.clock.now(), cause);
  if (!status.ok()) {
    Failed(status);
  }
}

void UsageService::HandleBye(SessionId id, Session& session, const wire::Request& request) {
  Depart(session, false);
  Answer(id, request.id());
}

UsageService::SpoolAnswer UsageService::TakeSpooled(uint32_t uid, const wire::Spooled& spooled,
                                                    bool young) {
  UserdbFields fields;
  const wire::Hello& hello = spooled.hello();
  if (hello.user().empty() || !IsName(hello.user()) || !IsName(hello.account()) ||
      !IsName(hello.package())) {
    return SpoolAnswer::kUseless;
  }
  const auto allowed = Allowed(uid, hello, fields);
  if (!allowed.ok()) {
    return SpoolAnswer::kUseless;
  }
  if (!*allowed) {
    return SpoolAnswer::kTaken;  // of no account: nothing to keep
  }
  if (!spooled.has_report() && young) {
    return SpoolAnswer::kLater;
  }
  const std::string& account = (*allowed)->account_name;
  wire::Report report = spooled.report();
  report.set_again(true);
  const auto row = mail_.Open(hello.user(), {account, !fields.account.empty()}, false, false);
  Status status = row.status();
  if (status.ok() && !spooled.has_report()) {
    status = mail_.Suspect(hello.user(), account);
  } else if (status.ok() && report.has_usage()) {
    const auto outcome = mail_.Take(hello.user(), account, report, {Trusted(uid), row->counter});
    status = outcome.status();
    if (outcome.ok() && *outcome == UsageMail::Outcome::kInvalid) {
      return SpoolAnswer::kUseless;
    }
  }
  if (!status.ok()) {
    Failed(status);
    return SpoolAnswer::kLater;
  }
  Count(account, report.cause());
  return SpoolAnswer::kTaken;
}

void UsageService::RecheckSessions() {
  for (auto& [id, session] : sessions_) {
    if (session.meter && !MayMeasure(session.uid)) {
      outgoing_.push_back({id, {}, {}, true});
    }
    if (!session.open) {
      continue;
    }
    bool stays = true;
    if (!Trusted(session.uid)) {
      const Account* const account = accounts_.index().AccountOfUser(session.user);
      stays = account != nullptr && account->uid == session.uid;
    }
    const auto effective = accounts_.index().EffectiveOf(session.user, session.fields);
    stays = stays && (effective ? effective->account_name : "") == session.account;
    if (!stays) {
      // It comes back, says Hello again, and gets another account's page, or none.
      LetGo(session);
      session.open = false;
      if (session.counts && !session.account.empty()) {
        (void)mail_.SendAway(session.user, session.account);
      }
      outgoing_.push_back({id, {}, {}, true});
      continue;
    }
    const auto welcome = MakeWelcome(session, effective);
    if (!welcome.ok()) {
      Failed(welcome.status());
      continue;
    }
    wire::Welcome changed = *welcome;
    wire::Welcome before;
    (void)before.ParseFromString(session.welcome);
    *changed.mutable_mailbox() = before.mailbox();
    if (changed.SerializeAsString() != before.SerializeAsString()) {
      session.welcome = welcome->SerializeAsString();
      Answer(id, 0);
      *outgoing_.back().reply.mutable_welcome() = *welcome;
    }
  }
}

// The web meter ---------------------------------------------------------------------------------

void UsageService::HandleWebMeter(SessionId id, Session& session, const wire::Request& request) {
  if (!MayMeasure(session.uid)) {
    return Refuse(id, request.id(), wire::Error::REFUSED, "this uid may not be the web meter");
  }
  if (session.open || session.meter) {
    return Refuse(id, request.id(), wire::Error::INVALID, "WebMeter comes first, and once");
  }
  if (meter_ != 0) {
    // The newer one is the one that lives.
    sessions_[meter_].meter = false;
    outgoing_.push_back({meter_, {}, {}, true});
    schedule_.Lost(options_.clock.now());
  }
  session.introduced = session.meter = true;
  meter_ = id;
  Answer(id, request.id());
  Measure();
}

void UsageService::Measure() {
  if (meter_ == 0) {
    return;
  }
  if (const auto account = schedule_.Take(options_.clock.now())) {
    Answer(meter_, 0);
    outgoing_.back().reply.mutable_measure()->set_account(*account);
  }
}

void UsageService::HandleMeasured(SessionId id, Session& session, const wire::Request& request) {
  if (!session.meter) {
    return Refuse(id, request.id(), wire::Error::REFUSED, "only the web meter measures");
  }
  const wire::Measured& measured = request.measured();
  const int64_t now = options_.clock.now();
  const Status status = web_.TakeWeb(measured, now);
  schedule_.Walked(measured.account(), measured.source(), now);
  if (status.ok()) {
    Answer(id, request.id());
  } else {
    Fail(id, request.id(), status);
  }
  Measure();
}

// Recounts --------------------------------------------------------------------------------------

void UsageService::RecountAnswered(const std::string& user, Counted counted) {
  if (counted == Counted::kUnknownUser) {
    const Status status = mail_.Forget(user);
    if (!status.ok() && status.code() != Code::kNotFound) {
      Failed(status);
    }
    return;
  }
  mail_.Counted(user, counted == Counted::kOk);
}

}  // namespace hosting

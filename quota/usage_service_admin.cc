// Requests of UsageService that come from doveadm.
#include <algorithm>

#include "quota/growth_rules.h"
#include "quota/ledger_rows.h"
#include "quota/usage_queries.h"
#include "quota/usage_service.h"
#include "storage/status_macros.h"

namespace hosting {

void UsageService::HandleAdmin(SessionId id, Session& session, const wire::Request& request) {
  if (!MayAdminister(session.uid)) {
    return Refuse(id, request.id(), wire::Error::REFUSED, "this uid may not administer");
  }
  session.introduced = true;
  wire::AdminResult result;
  const Status status = Admin(request.admin(), result);
  if (!status.ok()) {
    return Fail(id, request.id(), status);
  }
  Answer(id, request.id());
  *outgoing_.back().reply.mutable_admin() = std::move(result);
}

Status UsageService::Admin(const wire::Admin& admin, wire::AdminResult& result) {
  switch (admin.command_case()) {
    case wire::Admin::kReload:
      result.set_text(options_.reload ? options_.reload() : "there is no policy file");
      return {};
    case wire::Admin::kUsage:
      return AnswerUsage(ledger_, accounts_, admin.usage(), options_.clock.now(), result);
    case wire::Admin::kRecalc:
      return Recalc(admin.recalc(), result);
    case wire::Admin::kSetSource:
      return SetSource(admin.set_source());
    case wire::Admin::kForget:
      commit_now_ = true;
      return mail_.Forget(admin.forget().user());
    case wire::Admin::kStatus: {
      const auto warnings = outbox_.waiting();
      result.set_text("sessions: " + std::to_string(sessions_.size()) +
                      "\naccounts with sessions: " + std::to_string(accounts_.pages()) +
                      "\nusers that wait for a recount: " + std::to_string(recounts_.waiting()) +
                      "\nusers being counted: " + std::to_string(recounts_.counting()) +
                      "\naccounts with web roots: " + std::to_string(schedule_.size()) +
                      "\nwarnings that wait: " + std::to_string(warnings.ok() ? *warnings : 0) +
                      "\nwarnings under way: " + outbox_.under_way() +
                      "\nweb meter: " + (meter_ == 0 ? "away" : "connected") + "\n" +
                      (options_.status ? options_.status() : ""));
      return {};
    }
    case wire::Admin::kInvoice:
      return billing_.Answer(admin.invoice(), options_.clock.now(), result);
    case wire::Admin::kGrowth:
      return growth_ ? growth_->Answer(admin.growth(), options_.clock.now(), result)
                     : Status(Code::kInvalid, "no growth history is kept");
    case wire::Admin::kWarnTrial:
      return WarnTrial(admin.warn_trial().account(), result);
    case wire::Admin::COMMAND_NOT_SET:
      break;
  }
  return Status(Code::kInvalid, "an admin request of no known kind");
}

Status UsageService::Recalc(const wire::Recalc& recalc, wire::AdminResult& result) {
  std::vector<std::string> users;
  std::string account = recalc.account();
  if (!recalc.user().empty()) {
    LBOX_ASSIGN_OR_RETURN(const UsageMail::Place place, mail_.PlaceOf(recalc.user()));
    account = place.account;
    users.push_back(recalc.user());
  } else {
    if (account.empty()) {
      return Status(Code::kInvalid, "recalc takes an account or a user");
    }
    LBOX_RETURN_IF_ERROR(
        ledger_.ForEachSource(account, {}, [&](const SourceId& id, const SourceRow&) {
          if (id.kind == SourceKind::kMail) {
            users.push_back(id.name);
          }
          return true;
        }));
    if (users.empty() && accounts_.index().FindAccount(account) == nullptr) {
      return Status(Code::kNotFound, "no account of that name");
    }
  }
  commit_now_ = true;
  for (const std::string& user : users) {
    LBOX_RETURN_IF_ERROR(mail_.Recount(user, account));
  }
  const bool walked = recalc.web() && schedule_.AtOnce(account);
  if (walked) {
    Measure();
  }
  result.set_text(std::to_string(users.size()) + (users.size() == 1 ? " user" : " users") +
                  " will be counted" + (walked ? ", web roots will be walked" : ""));
  return {};
}

Status UsageService::SetSource(const wire::SetSource& set) {
  commit_now_ = true;
  return web_.TakeExternal(set.account(), set.source(), set.bytes(), options_.clock.now());
}

Status UsageService::WarnTrial(const std::string& account, wire::AdminResult& result) {
  LBOX_ASSIGN_OR_RETURN(const auto effective, accounts_.EffectiveOf(account));
  if (!effective) {
    return Status(Code::kNotFound, "no account of that name");
  }
  GrowthOutlook outlook;
  if (growth_) {
    LBOX_ASSIGN_OR_RETURN(const auto known, growth_->Outlook(account, options_.clock.now()));
    outlook = known.value_or(outlook);
  }
  GrowthWarning warning = WarningOf(account, *effective->package, outlook, GrowthRule::kPercent);
  warning.at = options_.clock.now();
  // Of no rule's: these count from 1.
  warning.number = static_cast<uint64_t>(warning.at) * 1000 +
                   static_cast<uint64_t>(options_.clock.boot_ms()) % 1000;
  warning.threshold = warning.percent;
  commit_now_ = true;
  LBOX_ASSIGN_OR_RETURN(const size_t queued, outbox_.DeliverTrial(warning));
  result.set_text(std::to_string(queued) + (queued == 1 ? " delivery" : " deliveries") +
                  " by mail and script");
  return {};
}

}  // namespace hosting

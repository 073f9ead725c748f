// The policy as the auth module asks it: login table in, decision out. No Dovecot header: see
// auth-hosting.h for what is around it.
#include <memory>

#include "plugin/auth-hosting.h"
#include "quota/login_table_file.h"
#include "quota/protocol_policy.h"

namespace {

constexpr const char* kNoPolicy = "Logins are not possible at the moment; please try again later.";

struct State {
  State(const char* path, bool deny, hosting::LoginTableFile::Log log)
      : deny_default(deny), file(path, std::move(log)) {}
  const bool deny_default;
  hosting::LoginTableFile file;
  // Of the last answer.
  std::string text, reason, problem;
};

std::unique_ptr<State> state;

enum auth_hosting_access access_of(hosting::Access access) {
  switch (access) {
    case hosting::Access::kDeny:
      return AUTH_HOSTING_DENY;
    case hosting::Access::kWarn:
      return AUTH_HOSTING_WARN;
    default:
      return AUTH_HOSTING_ALLOW;
  }
}

bool without_policy(auth_hosting_answer* answer) {
  if (!state->deny_default) {
    return false;
  }
  *answer = {};
  answer->access = AUTH_HOSTING_DENY;
  answer->text = kNoPolicy;
  answer->reason = "no policy has been read";
  return true;
}

bool decide(const auth_hosting_login& from, auth_hosting_answer* answer) {
  const auto protocol = hosting::ProtocolOfService(from.service);
  if (!protocol) {
    return false;
  }
  const std::shared_ptr<const hosting::LoginTable> table = state->file.Get();
  if (table == nullptr) {
    return without_policy(answer);
  }
  hosting::UserdbFields fields;
  fields.account = from.account == nullptr ? "" : from.account;
  fields.package = from.package == nullptr ? "" : from.package;
  hosting::LoginRules rules;
  state->problem.clear();
  *answer = {};
  if (table->Find(from.user, fields, &rules, &state->problem)) {
    hosting::Login login;
    login.protocol = *protocol;
    login.user = from.user;
    login.port = from.port;
    login.master_user = from.master_user;
    login.now = from.now;
    if (from.entry_hop != nullptr) {
      login.entry_hop = hosting::IpAddress::Parse(from.entry_hop);
    }
    hosting::LoginDecision decision =
        hosting::DecideLogin(table->options(), rules.effective, login);
    state->text = std::move(decision.text);
    state->reason = hosting::ExplainLogin(decision, rules.effective, "policy");
    answer->access = access_of(decision.access);
    answer->alert = table->options().answer == hosting::Answer::kAlert;
    answer->in_session = table->options().answer == hosting::Answer::kSession &&
                         *protocol == hosting::kImap && decision.access == hosting::Access::kDeny;
    answer->exempt = decision.exemption != hosting::Exemption::kNone;
    answer->marked = hosting::IsExempt(table->options(), login);
    answer->text = state->text.c_str();
    answer->reason = state->reason.c_str();
  }
  answer->problem = state->problem.empty() ? nullptr : state->problem.c_str();
  return true;
}

}  // namespace

void auth_hosting_policy_init(const char* table, bool deny_default, void (*log)(const char* line)) {
  state = std::make_unique<State>(table, deny_default,
                                  [log](const std::string& line) { log(line.c_str()); });
  (void)state->file.Get();
}

void auth_hosting_policy_deinit(void) {
  state.reset();
}

// No exception passes: a login must not depend on it.
bool auth_hosting_decide(const struct auth_hosting_login* login,
                         struct auth_hosting_answer* answer_r) {
  try {
    return decide(*login, answer_r);
  } catch (const std::exception&) {
    return false;
  }
}

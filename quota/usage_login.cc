#include "quota/usage_login.h"

#include "quota/protocol_policy.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;  // seconds

}  // namespace

bool LoginVerdicts::MayWarn(const wire::Login& login, int64_t now) {
  if (now / kDay != day_) {
    day_ = now / kDay;
    warned_.clear();
  }
  return warned_.insert(login.service() + " " + login.user()).second;
}

wire::Verdict LoginVerdicts::Of(const ProtocolOptions& options,
                                const std::optional<Effective>& effective, const wire::Login& login,
                                int64_t now) {
  wire::Verdict verdict;
  const auto protocol = ProtocolOfService(login.service());
  if (!effective || !protocol || login.exempt()) {
    return verdict;
  }
  Login asked;
  asked.protocol = *protocol;
  asked.user = login.user();
  asked.entry_hop = IpAddress::Parse(login.address());
  asked.port = login.port();
  asked.master_user = login.master_user();
  asked.now = now;
  const LoginDecision decision = DecideLogin(options, *effective, asked);
  verdict.set_rule(ExplainLogin(decision, *effective, "policy"));
  if (decision.access == Access::kDeny) {
    verdict.set_access(wire::Verdict::DENY);
    verdict.set_text(decision.text);
  } else if (decision.access == Access::kWarn) {
    verdict.set_access(wire::Verdict::WARN);
    if (!login.quiet() && MayWarn(login, now)) {
      verdict.set_text(decision.text);
    }
  }
  return verdict;
}

}  // namespace hosting

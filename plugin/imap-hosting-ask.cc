#include "plugin/imap-hosting.h"

#include <optional>

#include "quota/usage_admin.h"

namespace {

namespace wire = hosting::wire;

wire::Verdict last;  // answer

std::optional<wire::Verdict> ask(const imap_hosting_question& question) {
  wire::Login login;
  login.set_user(question.user);
  login.set_account(question.account);
  login.set_package(question.package);
  login.set_service("imap");
  login.set_address(question.address);
  login.set_port(question.port);
  login.set_master_user(question.master_user);
  login.set_exempt(question.exempt);
  login.set_quiet(question.quiet);
  login.set_alert(question.alert);
  auto service = hosting::UsageAdmin::Connect(question.socket);
  if (!service.ok()) {
    return std::nullopt;
  }
  auto verdict = (*service)->CheckLogin(login, std::chrono::milliseconds(question.timeout_ms));
  return verdict.ok() ? std::optional(std::move(*verdict)) : std::nullopt;
}

}  // namespace

// No exception passes.
enum imap_hosting_verdict imap_hosting_ask(const struct imap_hosting_question* question,
                                           const char** text_r, const char** rule_r,
                                           const char** alert_r) {
  *text_r = *rule_r = *alert_r = "";
  try {
    auto verdict = ask(*question);
    if (!verdict) {
      return IMAP_HOSTING_UNKNOWN;
    }
    last = std::move(*verdict);
  } catch (const std::exception&) {
    return IMAP_HOSTING_UNKNOWN;
  }
  *text_r = last.text().c_str();
  *rule_r = last.rule().c_str();
  *alert_r = last.alert().c_str();
  switch (last.access()) {
    case wire::Verdict::DENY:
      return IMAP_HOSTING_DENY;
    case wire::Verdict::WARN:
      return IMAP_HOSTING_WARN;
    default:
      return IMAP_HOSTING_ALLOW;
  }
}

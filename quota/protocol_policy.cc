#include "quota/protocol_policy.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "quota/policy_protocols.h"
#include "quota/protocol_text.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;  // seconds

struct FoundRule {
  const AccessRule* rule = nullptr;
  Decider decider = Decider::kDefault;
};

FoundRule FindRule(const Effective& effective, Protocol protocol) {
  if (effective.user_rule != nullptr && effective.user_rule->access[protocol].access) {
    return {&effective.user_rule->access[protocol], Decider::kUserRule};
  }
  if (effective.account != nullptr && effective.account->access[protocol].access) {
    return {&effective.account->access[protocol], Decider::kAccount};
  }
  if (effective.package->access[protocol].access) {
    return {&effective.package->access[protocol], Decider::kPackage};
  }
  return {};
}

Access Before(Access access) {
  return access == Access::kDeny ? Access::kWarn : Access::kAllow;
}

// Why a login is exempt, and the line of the file that says so.
std::pair<Exemption, Line> FindExemption(const ProtocolOptions& options, const Login& login) {
  const auto& ports = options.exempt_ports;
  const auto& networks = options.exempt_networks;
  if (login.master_user && options.exempt_master_users) {
    return {Exemption::kMasterUser, options.exempt_master_users_line};
  }
  if (login.port != 0 && std::find(ports.begin(), ports.end(), login.port) != ports.end()) {
    return {Exemption::kPort, options.exempt_ports_line};
  }
  if (login.entry_hop && std::any_of(networks.begin(), networks.end(), [&](const Network& network) {
        return network.Contains(*login.entry_hop);
      })) {
    return {Exemption::kNetwork, options.exempt_networks_line};
  }
  return {Exemption::kNone, 0};
}

const ProtocolTexts* TextsOf(const ProtocolOptions& options, const std::string& language) {
  const auto found =
      std::find_if(options.texts.begin(), options.texts.end(),
                   [&](const ProtocolTexts& texts) { return texts.language == language; });
  return found == options.texts.end() ? nullptr : &*found;
}

// In English, saying what there is to say.
std::string BuiltIn(const ProtocolOptions& options, const Effective& effective, const Login& login,
                    const LoginDecision& decision) {
  const bool deny = decision.access == Access::kDeny;
  std::string text = "{protocol} is not included in your package {package}";
  if (!deny && decision.from_day != 0) {
    text += " and will stop working on {from}";
  }
  text += '.';
  if (login.protocol == kImap && !options.pop3_host.empty()) {
    const FoundRule rule = FindRule(effective, kPop3);
    if (rule.rule == nullptr || *rule.rule->access != Access::kDeny) {
      text += " POP3 works: {pop3_host} port {pop3_port}.";
    }
  }
  if (!options.upgrade_url.empty()) {
    text += " Upgrade: {upgrade_url}";
  }
  return text;
}

std::string TextOf(const ProtocolOptions& options, const Effective& effective, const Login& login,
                   const LoginDecision& decision) {
  const std::string& language = effective.account != nullptr && !effective.account->language.empty()
                                    ? effective.account->language
                                    : options.language;
  const auto text_in = [&](const std::string& wanted) -> std::string {
    const ProtocolTexts* const texts = TextsOf(options, wanted);
    return texts == nullptr                   ? std::string()
           : decision.access == Access::kDeny ? texts->deny
                                              : texts->warn;
  };
  std::string text = text_in(language);
  if (text.empty()) {
    text = text_in(options.language);
  }
  if (text.empty()) {
    text = BuiltIn(options, effective, login, decision);
  }
  const std::string port = std::to_string(options.pop3_port);
  const std::string from = decision.from_day == 0 ? "" : FormatDay(decision.from_day);
  const std::pair<std::string_view, std::string_view> values[] = {
      {"package", effective.package->name},
      {"account", effective.account_name},
      {"user", login.user},
      {"protocol", TitleOf(login.protocol)},
      {"pop3_host", options.pop3_host},
      {"pop3_port", port},
      {"upgrade_url", options.upgrade_url},
      {"from", from}};
  return FillTemplate(text, values);
}

std::string Where(std::string_view file, Line line) {
  return line == 0 ? std::string() : " (" + std::string(file) + ":" + std::to_string(line) + ")";
}

std::string RuleOf(const LoginDecision& decision, const Effective& effective,
                   std::string_view file) {
  switch (decision.by.decider) {
    case Decider::kUserRule:
      return "user " + effective.user_rule->user + Where(file, decision.by.line);
    case Decider::kAccount:
      return "account " + effective.account_name + Where(file, decision.by.line);
    case Decider::kPackage:
      return "package " + effective.package->name + Where(file, decision.by.line);
    default:
      return "default: no rule";
  }
}

}  // namespace

std::optional<Protocol> ProtocolOfService(std::string_view service) {
  if (service == "sieve" || service == "managesieve") {
    return kManageSieve;
  }
  for (size_t i = 0; i < kProtocolNames.size(); ++i) {
    if (service == kProtocolNames[i]) {
      return static_cast<Protocol>(i);
    }
  }
  return std::nullopt;
}

const char* TitleOf(Protocol protocol) {
  constexpr std::array<const char*, kProtocols> kTitles = {"IMAP", "POP3", "ManageSieve",
                                                           "Submission", "SMTP"};
  return kTitles[protocol];
}

bool IsExempt(const ProtocolOptions& options, const Login& login) {
  return FindExemption(options, login).first != Exemption::kNone;
}

LoginDecision DecideLogin(const ProtocolOptions& options, const Effective& effective,
                          const Login& login) {
  LoginDecision decision;
  const FoundRule found = FindRule(effective, login.protocol);
  if (found.rule == nullptr) {
    return decision;
  }
  decision.by = {found.decider, found.rule->line};
  decision.rule = *found.rule->access;
  decision.access = decision.rule;
  if (login.now < kDay * found.rule->from_day) {
    decision.from_day = found.rule->from_day;
    decision.access = Before(decision.rule);
  }
  if (decision.access != Access::kAllow) {
    std::tie(decision.exemption, decision.exemption_line) = FindExemption(options, login);
    if (decision.exemption != Exemption::kNone) {
      decision.access = Access::kAllow;
    }
  }
  if (decision.access != Access::kAllow) {
    decision.text = TextOf(options, effective, login, decision);
  }
  return decision;
}

std::string ExplainLogin(const LoginDecision& decision, const Effective& effective,
                         std::string_view file) {
  std::string text = NameOf(decision.access);
  text += ": " + RuleOf(decision, effective, file);
  if (decision.from_day != 0) {
    text += std::string(", ") + NameOf(decision.rule) + " from " + FormatDay(decision.from_day);
  }
  switch (decision.exemption) {
    case Exemption::kPort:
      return text + ", exempt by the listener's port" + Where(file, decision.exemption_line);
    case Exemption::kNetwork:
      return text + ", exempt by network" + Where(file, decision.exemption_line);
    case Exemption::kMasterUser:
      return text + ", exempt as a master user" + Where(file, decision.exemption_line);
    default:
      return text;
  }
}

}  // namespace hosting

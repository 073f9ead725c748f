// doveadm hosting policy explain: what happens when a user logs in, and which rule decides.
#include <charconv>
#include <ctime>

#include "plugin/doveadm-hosting-common.h"
#include "quota/policy_file.h"
#include "quota/protocol_policy.h"

namespace {

using hosting::Code;
using hosting::Status;

// Of the options; kInvalid with what is wrong.
Status read_login(struct doveadm_cmd_context* cctx, hosting::Login* login) {
  if (const std::string rip = doveadm_hosting_param(cctx, "rip"); !rip.empty()) {
    login->entry_hop = hosting::IpAddress::Parse(rip);
    if (!login->entry_hop) {
      return Status(Code::kInvalid, "policy explain: --rip takes an address, not " + rip);
    }
  }
  if (const std::string port = doveadm_hosting_param(cctx, "lport"); !port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), login->port);
    constexpr uint32_t kMaxPort = 65535;
    if (error != std::errc() || end != port.data() + port.size() || login->port > kMaxPort) {
      return Status(Code::kInvalid, "policy explain: --lport takes a port, not " + port);
    }
  }
  login->master_user = doveadm_hosting_flag(cctx, "master");
  login->now = time(nullptr);
  return {};
}

void print(const std::string& setting, const std::string& value) {
  doveadm_hosting_print(setting);
  doveadm_hosting_print(value);
}

void print_decision(const hosting::Policy& policy, const hosting::Effective& effective,
                    const hosting::Login& login, const std::string& file) {
  const hosting::LoginDecision decision = DecideLogin(policy.protocols, effective, login);
  const std::string name(hosting::kProtocolNames[login.protocol]);
  print(name, ExplainLogin(decision, effective, file));
  if (!decision.text.empty()) {
    print(name + " text", decision.text);
  }
}

Status explain(struct doveadm_cmd_context* cctx, const hosting::Policy& policy,
               const std::string& file) {
  const std::string user = doveadm_hosting_param(cctx, "user");
  const std::string service = doveadm_hosting_param(cctx, "service");
  const auto protocol = hosting::ProtocolOfService(service);
  if (user.empty()) {
    return Status(Code::kInvalid, "policy explain: a user is needed");
  }
  if (!service.empty() && !protocol) {
    return Status(Code::kInvalid,
                  "policy explain: the policy says nothing about service " + service);
  }
  hosting::Login login;
  if (Status status = read_login(cctx, &login); !status.ok()) {
    return status;
  }
  login.user = user;
  hosting::UserdbFields fields;
  fields.account = doveadm_hosting_param(cctx, "account");
  fields.package = doveadm_hosting_param(cctx, "package");
  std::string problem;
  const hosting::PolicyIndex index(policy);
  const auto effective = index.EffectiveOf(user, fields, &problem);
  if (!problem.empty()) {
    i_warning("%s", problem.c_str());
  }
  print("user", user);
  if (!effective) {
    print("account", "none: every protocol is allowed");
    return {};
  }
  print("account", effective->account_name);
  const std::vector<std::string> lines = hosting::Explain(*effective, file);
  const auto print_line = [](const std::string& line) {
    const size_t colon = line.find(": ");
    print(line.substr(0, colon), line.substr(colon + 2));
  };
  print_line(lines.front());
  for (uint8_t i = 0; i < hosting::kProtocols; ++i) {
    login.protocol = static_cast<hosting::Protocol>(i);
    if (!protocol || *protocol == login.protocol) {
      print_decision(policy, *effective, login, file);
    }
  }
  for (const std::string& line : lines) {
    if ((!protocol || *protocol == hosting::kPop3) && line.starts_with("pop3_")) {
      print_line(line);
    }
  }
  return {};
}

}  // namespace

void cmd_hosting_policy_explain(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  doveadm_hosting_text_column("setting");
  doveadm_hosting_text_column("value");
  doveadm_hosting_with_policy(cctx, [&](const hosting::Policy& policy) {
    return explain(cctx, policy, doveadm_hosting_policy_path(cctx));
  });
}

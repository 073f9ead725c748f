// Whether a login may go on: what the policy's rules about protocols say of it.
//
// Purpose: one decision for auth (plugin/auth-hosting), for sessions that begin (hosting-usage) and
// for `doveadm hosting policy explain`. Ownership: looks at the policy's values for the time of the
// call. Process and crash rules: none; no I/O, time is passed in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "quota/policy.h"

namespace hosting {

// The values that texts may use, in braces.
constexpr std::array<std::string_view, 8> kTextNames = {
    "package", "account", "user", "protocol", "pop3_host", "pop3_port", "upgrade_url", "from"};

// Dovecot's name of a service: imap, pop3, sieve (managesieve), submission, smtp; nothing: the
// policy says nothing about it.
std::optional<Protocol> ProtocolOfService(std::string_view service);
const char* TitleOf(Protocol protocol);  // as users know it: "IMAP", "ManageSieve"

struct Login {
  Protocol protocol = kImap;
  std::string_view user = {};
  std::optional<IpAddress> entry_hop = {};  // who connected to this host; nothing: not known
  uint32_t port = 0;                        // of the listener; 0: not known
  bool master_user = false;                 // somebody else logs in as the user
  int64_t now = 0;                          // Unix seconds
};

enum class Exemption : uint8_t { kNone, kPort, kNetwork, kMasterUser };

struct LoginDecision {
  Access access = Access::kAllow;  // what happens
  Access rule = Access::kAllow;  // what the rule would have said without exemption, from its day on
  Decision by;                   // who made the rule
  uint32_t from_day = 0;         // of the rule, when it is still to come
  Exemption exemption = Exemption::kNone;
  Line exemption_line = 0;
  std::string text;  // for the user, with kWarn and kDeny: one line of printable ASCII
};

LoginDecision DecideLogin(const ProtocolOptions& options, const Effective& effective,
                          const Login& login);

// Whether no rule would refuse this login, whatever it says.
bool IsExempt(const ProtocolOptions& options, const Login& login);

// For people: what happens and who decides, such as "deny: package pop-s (hosting.toml:4)". file:
// the policy's.
std::string ExplainLogin(const LoginDecision& decision, const Effective& effective,
                         std::string_view file);

}  // namespace hosting

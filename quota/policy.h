// The policy: packages and accounts, as the operator's TOML file describes them (docs/packages.md).
//
// Purpose: plain values, checked when the file was read (policy_file.h), kept and passed on as a
// snapshot (policy_snapshot.h), asked by PolicyIndex. Ownership: values; a Policy never changes
// once made, a reload makes another. Process and crash rules: none here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quota/money.h"

namespace hosting {

enum class OverLimit : uint8_t { kRefuse, kBill, kReport };
enum class Access : uint8_t { kAllow, kWarn, kDeny };
enum class Basis : uint8_t { kPeak, kAverage, kEnd };
enum class Rounding : uint8_t {
  kUp,
  kNearest,
  kDown
};  // of overage to whole units; up: each started one counts
enum Protocol : uint8_t { kImap, kPop3, kManageSieve, kSubmission, kSmtp, kProtocols };

// Where in the file something stands: line from 1; 0: it is a default.
using Line = uint32_t;

struct Overage {
  Money price;                // of one unit
  std::string currency;       // ISO 4217, three letters
  uint64_t per = 1ULL << 30;  // bytes of a unit
  Basis basis = Basis::kPeak;
  Rounding rounding = Rounding::kUp;
};

struct Retention {
  uint32_t days = 0;
  bool from_retrieval = false;  // else from delivery
};

struct AccessRule {
  std::optional<Access> access;  // none: as the package says, or allow
  Line line = 0;
};

struct Package {
  std::string name;
  Line line = 0;
  uint64_t limit = 0;          // bytes: mail + web + external; 0: none
  uint64_t mailbox_limit = 0;  // bytes; 0: none
  uint64_t message_limit = 0;  // of the account; 0: none
  uint64_t grace = 0;          // bytes that one message may go over the limit
  OverLimit over_limit = OverLimit::kRefuse;
  uint64_t hard_limit = 0;  // bytes, with kBill; 0: none
  std::optional<Overage> overage;
  bool enforce = true;  // false: the limit is shown, nothing is refused
  AccessRule access[kProtocols];
  std::optional<Retention> pop3_retention;
  std::vector<uint32_t> warn_percent;
  uint32_t web_interval = 3600;  // seconds between walks of a web root
};

struct ExternalSource {
  std::string name;
  uint32_t stale_after = 0;  // seconds; 0: never
};

struct UserRule {
  std::string user;
  Line line = 0;
  AccessRule access[kProtocols];
  std::optional<uint64_t> mailbox_limit;
};

struct Account {
  std::string name;
  Line line = 0;
  std::string package;
  std::vector<std::string> domains;  // lower case
  std::vector<std::string> users;    // as Dovecot names them
  std::vector<std::string> web_roots;
  std::vector<ExternalSource> external;
  std::string time_zone = "UTC";
  std::optional<uint32_t>
      uid;  // owner of the web roots, and of the mail where each customer has a system user
  std::optional<uint64_t> extra_space;
  std::optional<uint64_t> mailbox_limit;
  std::optional<uint64_t> limit;
  AccessRule access[kProtocols];
  std::vector<UserRule> user_rules;
};

// Of the services, table [service].
struct ServiceOptions {
  std::vector<uint32_t> mail_uids;   // trusted for every user (the shared vmail uid)
  std::vector<uint32_t> admin_uids;  // may use the admin requests beside root
  bool enforce = true;               // the off-switch for all packages
  bool unavailable_tempfail = false;
  bool over_limit_tempfail = false;
  uint32_t mail_stale_after = 900;  // seconds: how long figures count after the service has gone
  uint32_t recount_interval =
      86400;  // seconds between recounts of a mailbox that lbox does not keep; 0: never
};

struct Policy {
  ServiceOptions service;
  std::vector<Package> packages;  // by name
  std::vector<Account> accounts;  // by name
};

// What holds for one account once everything has been looked at.
struct Effective {
  const Package* package = nullptr;  // never null in an answer
  const Account* account = nullptr;  // null: known by a userdb field alone
  std::string account_name;
  uint64_t limit = 0;
  uint64_t hard_limit = 0;
  uint64_t mailbox_limit = 0;
};

// Look-ups in a Policy, which must outlive it.
class PolicyIndex {
 public:
  explicit PolicyIndex(const Policy& policy);

  // nullptr when there is none of that name.
  [[nodiscard]] const Package* FindPackage(std::string_view name) const;
  [[nodiscard]] const Account* FindAccount(std::string_view name) const;
  // The account of a mail user: by `users`, else by the domain behind the last '@' (any case);
  // nullptr: of none.
  [[nodiscard]] const Account* AccountOfUser(std::string_view user) const;

 private:
  const Policy& policy_;
  std::map<std::string, const Account*, std::less<>> by_user_;
  std::map<std::string, const Account*, std::less<>> by_domain_;
};

}  // namespace hosting

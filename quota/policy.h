// The policy: packages and accounts, as the operator's TOML file describes them (docs/packages.md).
//
// Purpose: plain values, checked when the file was read (policy_file.h), kept and passed on as a
// snapshot (policy_snapshot.h), asked by PolicyIndex. Ownership: values; a Policy never changes
// once made, a reload makes another. Process and crash rules: none here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quota/growth_phrases.h"
#include "quota/money.h"
#include "quota/network.h"

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
constexpr std::array<std::string_view, kProtocols> kProtocolNames = {"imap", "pop3", "managesieve",
                                                                     "submission", "smtp"};

// How customers are told that their account grows (docs/growth.md). All are on by default.
enum WarnWay : uint8_t { kWarnImap, kWarnMail, kWarnScript, kWarnEvent, kWarnLog, kWarnWays };
constexpr std::array<std::string_view, kWarnWays> kWarnWayKeys = {
    "warn_imap", "warn_mail", "warn_script", "warn_event", "warn_log"};

// Where in the file something stands: line from 1; 0: it is a default.
using Line = uint32_t;
// The keys of a package, an account or a user's rule whose lines are kept, for explanations.
enum Key : uint8_t {
  kKeyPackage,
  kKeyLimit,
  kKeyMailboxLimit,
  kKeyMessageLimit,
  kKeyHardLimit,
  kKeyOverLimit,
  kKeyExtraSpace,
  kKeyEnforce,
  kKeyWarnPercent,
  kKeyWarnDays,
  kKeyWarnWeeklyPercent,
  kKeyWarnOverage,
  kKeyPop3Retention,
  kKeyPop3Dele,
  kKeyPop3IntoInbox,
  kKeys
};
using KeyLines = std::array<Line, kKeys>;

struct Overage {
  Money price;                // of one unit
  std::string currency;       // ISO 4217, three letters
  uint64_t per = 1ULL << 30;  // bytes of a unit
  Basis basis = Basis::kPeak;
  Rounding rounding = Rounding::kUp;
  friend bool operator==(const Overage&, const Overage&) = default;
};

struct Retention {
  uint32_t days = 0;
  bool from_retrieval = false;              // else from delivery
  bool delete_unretrieved = false;          // also what POP3 never fetched
  bool with_imap = false;                   // also where the user may use IMAP
  uint32_t notice_days = 7;                 // from the notice to the first deletion; 0: no notice
  std::string notice_subject, notice_text;  // templates (retention_notice.h); empty: the default
  std::string expiry_folder;                // where mail goes first; empty: it is deleted at once
  uint32_t expiry_days = 30;                // how long it stays there
  friend bool operator==(const Retention&, const Retention&) = default;
};

// What POP3's DELE means: the message goes; or POP3 sees it no more, IMAP does; or all POP3 clients
// see it until some days after its delivery.
enum class DeleMeans : uint8_t { kDelete, kHide, kDefer };
struct Pop3Dele {
  DeleMeans means = DeleMeans::kDelete;
  uint32_t days = 14;  // after delivery, with kDefer
  bool warn = false;   // a notice when POP3 removes mail of a user who may use IMAP
  friend bool operator==(const Pop3Dele&, const Pop3Dele&) = default;
};

struct AccessRule {
  std::optional<Access> access;  // none: as the package says, or allow
  Line line = 0;
  uint32_t from_day = 0;  // days since 1970-01-01, UTC: until then deny only warns, and warn allows
  friend bool operator==(const AccessRule&, const AccessRule&) = default;
};

struct Package {
  std::string name;
  Line line = 0;
  KeyLines lines{};
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
  Pop3Dele pop3_dele;
  bool pop3_into_inbox = false;  // deliveries to folders of a user without IMAP go to INBOX
  // When the customer is warned (growth_rules.h).
  std::vector<uint32_t> warn_percent = {80, 90, 100};  // of the limit, 1 to 200, ascending
  uint32_t warn_days = 0;             // to the day the limit is reached; 0: not by this rule
  uint32_t warn_weekly_percent = 0;   // growth in seven days above this; 0: not by this rule
  std::optional<Money> warn_overage;  // a month is expected to cost more; none: not by this rule
  uint32_t web_interval = 3600;       // seconds between walks of a web root
  std::array<bool, kWarnWays> warn = {true, true, true, true, true};  // by WarnWay
  friend bool operator==(const Package&, const Package&) = default;
};

struct ExternalSource {
  std::string name;
  uint32_t stale_after = 0;  // seconds; 0: never
  friend bool operator==(const ExternalSource&, const ExternalSource&) = default;
};

struct UserRule {
  std::string user;
  Line line = 0;
  KeyLines lines{};
  AccessRule access[kProtocols];
  std::optional<uint64_t> mailbox_limit;  // bytes; 0: none
  friend bool operator==(const UserRule&, const UserRule&) = default;
};

struct Account {
  std::string name;
  Line line = 0;
  KeyLines lines{};
  std::string package;
  std::vector<std::string> domains;      // lower case
  std::vector<std::string> users;        // as Dovecot names them
  std::vector<std::string> web_roots;    // absolute, normalised, none inside another one
  std::vector<std::string> web_exclude;  // folders in web roots that are not counted
  std::vector<ExternalSource> external;  // by name
  std::string time_zone = "UTC";
  std::optional<uint32_t>
      uid;  // owner of the web roots, and of the mail where each customer has a system user
  std::optional<uint64_t> extra_space;    // bytes on top of the limit
  std::optional<uint64_t> mailbox_limit;  // bytes; 0: none
  std::optional<uint64_t> limit;          // bytes, in place of the package's; 0: none
  std::optional<bool> enforce;            // in place of the package's
  AccessRule access[kProtocols];
  std::string language;              // of texts to its users; empty: [protocols] says
  std::string contact;               // address that warnings go to; empty: none
  std::vector<UserRule> user_rules;  // by user
  friend bool operator==(const Account&, const Account&) = default;
};

// Of the services, table [service].
struct ServiceOptions {
  std::vector<uint32_t> mail_uids;     // trusted for every user (the shared vmail uid)
  std::vector<uint32_t> admin_uids;    // may use the admin requests beside root
  std::vector<uint32_t> web_uids;      // may be the web meter beside root
  std::vector<uint32_t> recount_uids;  // may be the recount service beside root
  uint32_t mail_connections = 4000;    // at most open at a time, from each of mail_uids
  uint32_t other_connections = 64;     // from each other uid
  bool enforce = true;                 // the off-switch for all packages
  Line enforce_line = 0;
  bool unavailable_tempfail = false;
  bool over_limit_tempfail = false;
  uint32_t mail_stale_after = 900;  // seconds: how long figures count after the service has gone
  uint32_t recount_interval =
      86400;  // seconds between recounts of a mailbox that lbox does not keep; 0: never
  std::vector<std::string> web_exclude;  // folders that are counted in no web root
  friend bool operator==(const ServiceOptions&, const ServiceOptions&) = default;
};

// Texts of mail to users (notice.h), with values in braces; empty: built in.
struct NoticeTexts {
  std::string retention_subject, retention_text;  // before the first deletion by retention
  std::string removal_subject, removal_text;      // POP3 has removed mail that IMAP sees
  std::string folders;                            // in the first one: what POP3 does not see
  friend bool operator==(const NoticeTexts&, const NoticeTexts&) = default;
};

// Texts to users in one language, with values in braces (protocol_text.h); empty: built in.
struct ProtocolTexts {
  std::string language;
  std::string deny, warn;
  NoticeTexts notices = {};
  friend bool operator==(const ProtocolTexts&, const ProtocolTexts&) = default;
};

// To a denied login: nologin with [CONTACTADMIN]; a failure with [ALERT]; IMAP: the session begins,
// and ends with the reason.
enum class Answer : uint8_t { kNologin, kAlert, kSession };

// Table [protocols]: how rules about protocols are applied.
struct ProtocolOptions {
  std::vector<uint32_t> exempt_ports;  // of listeners
  Line exempt_ports_line = 0;
  std::vector<Network> exempt_networks;  // of the entry hop
  Line exempt_networks_line = 0;
  bool exempt_master_users = true;
  Line exempt_master_users_line = 0;
  Answer answer = Answer::kNologin;
  std::string pop3_host;  // told to users whose IMAP is denied; empty: none
  uint32_t pop3_port = 995;
  std::string upgrade_url;  // empty: none
  std::string language = "en";
  std::vector<ProtocolTexts> texts;  // by language
  friend bool operator==(const ProtocolOptions&, const ProtocolOptions&) = default;
};

// Table [warnings].
struct WarningOptions {
  std::string from;                // address that writes; empty: postmaster of the domain
  std::vector<GrowthTexts> texts;  // by language
  friend bool operator==(const WarningOptions&, const WarningOptions&) = default;
};

struct Policy {
  ServiceOptions service;
  ProtocolOptions protocols;
  WarningOptions warnings;
  std::vector<Package> packages;  // by name
  std::vector<Account> accounts;  // by name
  friend bool operator==(const Policy&, const Policy&) = default;
};

// Of a mail user, from userdb fields: they win over the file.
struct UserdbFields {
  std::string account, package;           // hosting_account, hosting_package; empty: the file knows
  std::optional<uint64_t> extra_space;    // hosting_extra_space, bytes
  std::optional<uint64_t> mailbox_limit;  // hosting_mailbox_limit, bytes; 0: none
};

// Who decided about a value.
enum class Decider : uint8_t { kDefault, kService, kPackage, kAccount, kUserRule, kUserdb };
struct Decision {
  Decider decider = Decider::kDefault;
  Line line = 0;
};

// What holds for one account, or one user of it, once everything has been looked at. Points into
// the Policy.
struct Effective {
  const Package* package = nullptr;     // never null in an answer
  const Account* account = nullptr;     // null: known by a userdb field alone
  const UserRule* user_rule = nullptr;  // null: there is none
  std::string account_name;
  OverLimit over_limit = OverLimit::kRefuse;
  bool enforce = true;  // false: an off-switch is set
  uint64_t limit = 0;   // bytes, extra space included; 0: none
  uint64_t hard_limit =
      0;  // bytes that are enforced: with kBill the hard limit (0: none), else as limit
  uint64_t mailbox_limit = 0;  // bytes of one mailbox (mail user); 0: none
  uint64_t message_limit = 0;  // of the account; 0: none
  uint64_t grace = 0;          // bytes that one message may go over the limit
  uint64_t extra_space = 0;    // bytes: what of the limit was added to it

  Decision package_by, limit_by, extra_space_by, mailbox_limit_by, enforce_by;
};

// What one user may do by a protocol.
struct AccessDecision {
  Access access = Access::kAllow;
  Decision by;
};

// Look-ups in a Policy, which must outlive it and stay where it is.
class PolicyIndex {
 public:
  explicit PolicyIndex(const Policy& policy);

  [[nodiscard]] const Policy& policy() const { return policy_; }
  // nullptr when there is none of that name.
  [[nodiscard]] const Package* FindPackage(std::string_view name) const;
  [[nodiscard]] const Account* FindAccount(std::string_view name) const;
  // The account of a mail user: by `users`, else by the domain behind the last '@' (any case);
  // nullptr: of none.
  [[nodiscard]] const Account* AccountOfUser(std::string_view user) const;

  // What holds for a user (empty: for the account as a whole). The account is fields.account, else
  // AccountOfUser(user). Nothing when the user belongs to no account, or to one of which no package
  // is known: then nothing is limited. What is wrong with the fields goes to `problem`, for the
  // log: a package or an account that the policy does not have (the account's own package holds
  // then).
  [[nodiscard]] std::optional<Effective> EffectiveOf(std::string_view user,
                                                     const UserdbFields& fields,
                                                     std::string* problem = nullptr) const;
  // The user's rule, then the account's, then the package's, else allowed.
  [[nodiscard]] static AccessDecision AccessOf(const Effective& effective, Protocol protocol);

 private:
  using Names = std::unordered_map<std::string_view, const Account*>;

  const Policy& policy_;
  std::unordered_map<std::string_view, const Package*> packages_;
  Names accounts_, users_, domains_;
};

const char* NameOf(OverLimit value);  // refuse, bill, report
const char* NameOf(Access value);     // allow, warn, deny
const char* NameOf(Basis value);      // peak, average, end
const char* NameOf(Rounding value);   // up, nearest, down

// For people, one value a line, with what decides: "limit: 11G: package gold (hosting.toml:2), with
// extra_space 1G: userdb field hosting_extra_space". `doveadm hosting account show` prints these.
// file: the policy's, for the places; "": "line 2".
std::vector<std::string> Explain(const Effective& effective, std::string_view file = {});

}  // namespace hosting

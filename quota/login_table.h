// The login table: what auth needs of the policy, as a checksummed file in which a user is found
// without reading the rest.
//
// Purpose: hosting-usage writes it beside its snapshot whenever the policy changes; auth
// (plugin/auth-hosting) asks it at each login. It has packages, accounts, domains and users with
// their rules about protocols, and nothing of prices, limits or web roots. Format (little-endian):
// 0 magic "hostlog\n"; 8 u32 format; 12 u32 entries; 16 u64 generation of the snapshot; 24 u64
// bytes of the body; 32 u64 XXH3-64 of the body, seeded with that of the bytes 0 to 31; 40 the
// body: for each entry u32 offset and u32 length of its key, u32 offset and u32 length of its value
// (offsets in the body), in the order of the keys; then keys and values. Keys: "o" the options; "p"
// and a package's name; "a" and an account's; "d" and a domain, "u" and a user, of which the value
// is the account's name; "r", the account, NUL and a user: the user's rule. Values that are no
// names are the snapshot's messages. Ownership: values. Process rules: one writer, which replaces
// the file by rename; any number of readers. Failure modes: kCorruption for what is short, long or
// changed; bytes are not trusted beyond the checksum. Crash rule: as policy_snapshot.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "quota/policy.h"
#include "quota/status.h"

namespace hosting {

constexpr uint32_t kLoginTableFormat = 1;
constexpr size_t kLoginTableHeader = 40;       // bytes
constexpr size_t kMaxLoginTable = 256U << 20;  // bytes

std::string EncodeLoginTable(const Policy& policy, uint64_t generation);

// What the policy has for one login. effective points into the others.
struct LoginRules {
  LoginRules() = default;
  LoginRules(const LoginRules&) = delete;
  LoginRules& operator=(const LoginRules&) = delete;

  Package package;
  Account account;
  UserRule user_rule;
  Effective effective;
};

class LoginTable {
 public:
  // Takes the bytes over, once they have been checked whole.
  static Result<std::shared_ptr<const LoginTable>> Open(std::string bytes);

  [[nodiscard]] const ProtocolOptions& options() const { return options_; }
  [[nodiscard]] uint64_t generation() const { return generation_; }
  // As PolicyIndex::EffectiveOf: whether the user belongs to an account with a package. *problem:
  // what is wrong with the fields, for the log.
  bool Find(std::string_view user, const UserdbFields& fields, LoginRules* rules,
            std::string* problem) const;

 private:
  explicit LoginTable(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::string_view Text(size_t at) const;
  [[nodiscard]] bool Get(std::string_view key, std::string_view* value) const;
  [[nodiscard]] std::string AccountOfUser(std::string_view user) const;
  template <typename Value>
  bool GetPart(std::string_view key, Value* value) const;

  std::string bytes_;
  uint32_t entries_ = 0;
  uint64_t generation_ = 0;
  ProtocolOptions options_;
};

// Puts right length and checksum of what is one otherwise; for tests.
std::string WithLoginTableChecksum(std::string bytes);

}  // namespace hosting

#include "quota/login_table.h"

#include <xxhash.h>

#include <map>

#include "quota/bytes.h"
#include "quota/policy_snapshot.h"
#include "quota/policy_text.h"

namespace hosting {
namespace {

constexpr std::string_view kMagic = "hostlog\n";
constexpr size_t kHeader = kLoginTableHeader, kEntry = 16;  // bytes
constexpr size_t kSize = 24, kHashed = 32;                  // offsets in the header

void Replace(std::string& in, size_t at, uint64_t value, size_t bytes) {
  std::string number;
  PutNumber(number, value, bytes);
  in.replace(at, bytes, number);
}

uint64_t Checksum(std::string_view bytes) {
  return XXH3_64bits_withSeed(bytes.data() + kHeader, bytes.size() - kHeader,
                              XXH3_64bits(bytes.data(), kHashed));
}

Status Corrupt(const std::string& why) {
  return {Code::kCorruption, "login table " + why};
}

// What is said of protocols, and nothing else.
Package ForLogins(const Package& package) {
  Package only;
  only.name = package.name;
  only.line = package.line;
  std::copy(std::begin(package.access), std::end(package.access), std::begin(only.access));
  return only;
}

Account ForLogins(const Account& account) {
  Account only;
  only.name = account.name;
  only.line = account.line;
  only.lines = account.lines;
  only.package = account.package;
  only.time_zone.clear();
  only.language = account.language;
  std::copy(std::begin(account.access), std::end(account.access), std::begin(only.access));
  return only;
}

ProtocolOptions ForLogins(const ProtocolOptions& options) {
  ProtocolOptions only = options;
  for (ProtocolTexts& texts : only.texts) {
    texts.notices = {};
  }
  return only;
}

std::string RuleKey(std::string_view account, std::string_view user) {
  return "r" + std::string(account) + '\0' + std::string(user);
}

std::map<std::string, std::string> Entries(const Policy& policy) {
  std::map<std::string, std::string> entries;
  entries["o"] = EncodePolicyPart(ForLogins(policy.protocols));
  for (const Package& package : policy.packages) {
    entries["p" + package.name] = EncodePolicyPart(ForLogins(package));
  }
  for (const Account& account : policy.accounts) {
    entries["a" + account.name] = EncodePolicyPart(ForLogins(account));
    for (const std::string& domain : account.domains) {
      entries["d" + domain] = account.name;
    }
    for (const std::string& user : account.users) {
      entries["u" + user] = account.name;
    }
    for (const UserRule& rule : account.user_rules) {
      entries[RuleKey(account.name, rule.user)] = EncodePolicyPart(rule);
    }
  }
  return entries;
}

}  // namespace

std::string EncodeLoginTable(const Policy& policy, uint64_t generation) {
  const auto entries = Entries(policy);
  std::string bytes(kMagic);
  PutNumber(bytes, kLoginTableFormat, 4);
  PutNumber(bytes, entries.size(), 4);
  PutNumber(bytes, generation, 8);
  bytes.resize(kHeader);
  size_t at = entries.size() * kEntry;
  for (const auto& [key, value] : entries) {
    for (const std::string* text : {&key, &value}) {
      PutNumber(bytes, at, 4);
      PutNumber(bytes, text->size(), 4);
      at += text->size();
    }
  }
  for (const auto& [key, value] : entries) {
    bytes += key;
    bytes += value;
  }
  return WithLoginTableChecksum(std::move(bytes));
}

std::string WithLoginTableChecksum(std::string bytes) {
  if (bytes.size() >= kHeader) {
    Replace(bytes, kSize, bytes.size() - kHeader, 8);
    Replace(bytes, kHashed, Checksum(bytes), 8);
  }
  return bytes;
}

Result<std::shared_ptr<const LoginTable>> LoginTable::Open(std::string bytes) {
  if (bytes.size() < kHeader || !bytes.starts_with(kMagic)) {
    return Corrupt("does not begin as one");
  }
  if (NumberAt(bytes, 8, 4) != kLoginTableFormat) {
    return Status(Code::kUnsupported,
                  "login table has format " + std::to_string(NumberAt(bytes, 8, 4)) +
                      ", this program knows " + std::to_string(kLoginTableFormat));
  }
  if (bytes.size() > kMaxLoginTable || NumberAt(bytes, kSize, 8) != bytes.size() - kHeader ||
      NumberAt(bytes, kHashed, 8) != Checksum(bytes)) {
    return Corrupt("does not match its checksum");
  }
  const uint64_t entries = NumberAt(bytes, 12, 4);
  if (entries > (bytes.size() - kHeader) / kEntry) {
    return Corrupt("has fewer entries than it says");
  }
  std::shared_ptr<LoginTable> table(new LoginTable(std::move(bytes)));
  table->entries_ = static_cast<uint32_t>(entries);
  table->generation_ = NumberAt(table->bytes_, 16, 8);
  if (!table->GetPart("o", &table->options_)) {
    return Corrupt("has no options");
  }
  return std::shared_ptr<const LoginTable>(std::move(table));
}

// The text that an entry's offset and length at `at` of the file name; empty when it is not there.
std::string_view LoginTable::Text(size_t at) const {
  const std::string_view body = std::string_view(bytes_).substr(kHeader);
  const uint64_t offset = NumberAt(bytes_, at, 4), length = NumberAt(bytes_, at + 4, 4);
  return offset <= body.size() && length <= body.size() - offset ? body.substr(offset, length)
                                                                 : std::string_view();
}

bool LoginTable::Get(std::string_view key, std::string_view* value) const {
  size_t low = 0, high = entries_;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const int order = Text(kHeader + middle * kEntry).compare(key);
    if (order == 0) {
      *value = Text(kHeader + middle * kEntry + 8);
      return true;
    }
    (order < 0 ? low : high) = order < 0 ? middle + 1 : middle;
  }
  return false;
}

template <typename Value>
bool LoginTable::GetPart(std::string_view key, Value* value) const {
  std::string_view bytes;
  return Get(key, &bytes) && DecodePolicyPart(bytes, value);
}

// "": of none.
std::string LoginTable::AccountOfUser(std::string_view user) const {
  std::string_view name;
  if (Get("u" + std::string(user), &name)) {
    return std::string(name);
  }
  const size_t at = user.rfind('@');
  return at != std::string_view::npos && Get("d" + LowerCase(user.substr(at + 1)), &name)
             ? std::string(name)
             : std::string();
}

bool LoginTable::Find(std::string_view user, const UserdbFields& fields, LoginRules* rules,
                      std::string* problem) const {
  Effective& effective = rules->effective;
  const std::string name = fields.account.empty() ? AccountOfUser(user) : fields.account;
  if (name.empty()) {
    return false;
  }
  effective.account_name = name;
  if (GetPart("a" + name, &rules->account)) {
    effective.account = &rules->account;
  }
  if (!fields.package.empty()) {
    if (GetPart("p" + fields.package, &rules->package)) {
      effective.package = &rules->package;
      effective.package_by = {Decider::kUserdb, 0};
    } else {
      *problem =
          "field hosting_package names \"" + fields.package + "\", which the policy does not have";
    }
  }
  if (effective.package == nullptr && effective.account != nullptr &&
      GetPart("p" + rules->account.package, &rules->package)) {
    effective.package = &rules->package;
    effective.package_by = {Decider::kAccount, rules->account.lines[kKeyPackage]};
  }
  if (effective.package == nullptr) {
    if (problem->empty()) {
      *problem = "field hosting_account names \"" + name +
                 "\", which the policy does not have, and there is no field hosting_package";
    }
    return false;
  }
  if (effective.account != nullptr && GetPart(RuleKey(name, user), &rules->user_rule)) {
    effective.user_rule = &rules->user_rule;
  }
  return true;
}

}  // namespace hosting

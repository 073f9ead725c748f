// The policy file: any text, read by what runs in hosting-usage and doveadm. What is accepted must
// come back whole from its snapshot and can be asked; what is not must say where.
#include "quota/policy_file.h"

#include <algorithm>

#include "quota/policy_snapshot.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/quota/policy_support.h"

namespace lbox::fuzz {
namespace {

void Ask(const hosting::Policy& policy) {
  const hosting::PolicyIndex index(policy);
  for (const hosting::Account& account : policy.accounts) {
    Require(index.FindAccount(account.name) == &account, "an account is not found by its name");
    Require(index.FindPackage(account.package) != nullptr, "an account has no package");
    for (const std::string& domain : account.domains) {
      const hosting::Account* const owner = index.AccountOfUser("u\x01@" + domain);
      Require(owner == &account, "a domain leads to another account");
    }
    for (const hosting::UserRule& rule : account.user_rules) {
      const auto effective = index.EffectiveOf(rule.user, {account.name, "", {}, {}});
      Require(effective && effective->user_rule == &rule, "a user's rule is not found");
      Require(!Explain(*effective).empty(), "nothing is explained");
    }
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  return {
      hosting::kFullPolicy,
      "[package.p]\n[account.a]\npackage='p'\nuser.'x'.imap = \"warn\"\nweb_roots=['/a','/a/b']\n",
      "[package.\"\\u00e9\\t\"]\nlimit = 1_000 # c\n[account]\n",
      "[[a]]\nb = [1, {c.d = [true, 1.5]}, \"\"\"x\n"};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  const std::string text(reinterpret_cast<const char*>(data), size);
  static const hosting::PolicyNames names = hosting::TestNames();
  hosting::ParsedPolicy parsed = hosting::ParsePolicy(text, names);
  const auto lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  Require(parsed.problems.size() <= hosting::kMaxProblems + 1, "too many problems");
  for (const hosting::Problem& problem : parsed.problems) {
    Require(problem.line <= lines && (problem.line == 0) == (problem.column == 0),
            "a problem is nowhere");
    Require(!problem.text.empty() && hosting::IsPrintable(problem.text),
            "a problem's text does not belong into a log");
  }
  reached++;
  if (parsed.problems.empty()) {
    const hosting::PolicySnapshot snapshot{1, {}, std::move(parsed.policy)};
    const auto again = hosting::DecodeSnapshot(hosting::EncodeSnapshot(snapshot));
    Require(again.ok() && again->policy == snapshot.policy, "a policy changes in its snapshot");
    Ask(snapshot.policy);
  }
  return 0;
}

#include "quota/policy_check.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace hosting {
namespace {

// Where something that may belong to one account only was said first.
struct Use {
  size_t account = 0;
  const TomlNode* node = nullptr;
};
using Uses = std::unordered_map<std::string_view, Use>;

std::string Of(const PolicyDraft& draft, const Use& use) {
  return "account " + Quoted(draft.policy.accounts[use.account].name) + " (line " +
         std::to_string(use.node->line) + ")";
}

class PolicyCheck {
 public:
  PolicyCheck(PolicyDraft& draft, PolicyReader& reader) : draft_(draft), reader_(reader) {}

  // Gives (account, index of a web root) of those that are counted with another one, ascending.
  std::vector<std::pair<size_t, size_t>> Run() {
    const auto& accounts = draft_.policy.accounts;
    packages_.reserve(draft_.policy.packages.size());
    for (const Package& package : draft_.policy.packages) {
      packages_.insert(package.name);
      names_.push_back(package.name);
    }
    domains_.reserve(accounts.size());
    users_.reserve(accounts.size());
    roots_.reserve(accounts.size());
    for (size_t i = 0; i < accounts.size(); ++i) {
      PackageIsThere(i);
      OnlyOnce(i, "domains", "domain", accounts[i].domains, domains_);
      OnlyOnce(i, "users", "user", accounts[i].users, users_);
      NoteRoots(i);
    }
    for (size_t i = 0; i < accounts.size(); ++i) {
      RulesAreOfOwnUsers(i);
      RootsAreApart(i);
    }
    return std::move(merged_);
  }

 private:
  void PackageIsThere(size_t i) {
    const Account& account = draft_.policy.accounts[i];
    const TomlNode* const node = ChildOf(*draft_.accounts[i], "package");
    if (node == nullptr) {
      reader_.TellAtKey(*draft_.accounts[i],
                        "expected the key package in account " + Quoted(account.name));
    } else if (!account.package.empty() && packages_.count(account.package) == 0) {
      reader_.Tell(*node, "expected a package of this file, found " + Quoted(account.package) +
                              reader_.DidYouMean(account.package, names_));
    }
  }

  // The node of the n-th value of a list that was read without problems; nullptr otherwise.
  const TomlNode* FirstOf(size_t i, std::string_view key, size_t count) const {
    const TomlNode* const list = ChildOf(*draft_.accounts[i], key);
    return list == nullptr || list->children != count ? nullptr : list->first;
  }

  void OnlyOnce(size_t i, std::string_view key, std::string_view what,
                const std::vector<std::string>& values, Uses& uses) {
    const TomlNode* node = FirstOf(i, key, values.size());
    for (const std::string& value : values) {
      if (node == nullptr) {
        return;
      }
      const auto [use, added] = uses.try_emplace(value, Use{i, node});
      if (!added) {
        reader_.Tell(*node, "expected each " + std::string(what) + " once, but " + Quoted(value) +
                                " is in " + Of(draft_, use->second) + " already");
      }
      node = node->next;
    }
  }

  void NoteRoots(size_t i) {
    const auto& roots = draft_.policy.accounts[i].web_roots;
    const TomlNode* node = FirstOf(i, "web_roots", roots.size());
    for (const std::string& root : roots) {
      if (node == nullptr) {
        return;
      }
      const auto [use, added] = roots_.try_emplace(root, Use{i, node});
      if (!added && use->second.account != i) {
        Overlap(node, root, root, use->second);
      }
      node = node->next;
    }
  }

  void Overlap(const TomlNode* node, const std::string& root, std::string_view other,
               const Use& use) {
    reader_.Tell(*node,
                 "expected web roots of different accounts apart, but " + Quoted(root) +
                     (root == other ? " is a web root of " : " lies in " + Quoted(other) + " of ") +
                     Of(draft_, use));
  }

  // The noted root that this one lies in; nullptr: none.
  [[nodiscard]] const Uses::value_type* Above(std::string_view root) const {
    for (size_t slash = root.rfind('/'); slash != 0 && slash != std::string_view::npos;
         slash = root.rfind('/')) {
      root = root.substr(0, slash);
      const auto found = roots_.find(root);
      if (found != roots_.end()) {
        return &*found;
      }
    }
    return nullptr;
  }

  void RootsAreApart(size_t i) {
    auto& roots = draft_.policy.accounts[i].web_roots;
    const TomlNode* node = FirstOf(i, "web_roots", roots.size());
    // Names in roots_ point into the strings: none of them is moved before all have been looked at.
    for (size_t at = 0; at < roots.size() && node != nullptr; ++at, node = node->next) {
      const Uses::value_type* const above = Above(roots[at]);
      const auto itself = roots_.find(roots[at]);
      if (above != nullptr && above->second.account != i) {
        Overlap(node, roots[at], above->first, above->second);
      } else if (above != nullptr || itself->second.node != node) {
        merged_.push_back({i, at});
      }
    }
  }

  void RulesAreOfOwnUsers(size_t i) {
    for (const UserRule& rule : draft_.policy.accounts[i].user_rules) {
      const size_t at = rule.user.rfind('@');
      auto owner = users_.find(rule.user);
      bool found = owner != users_.end();
      if (!found && at != std::string::npos) {
        owner = domains_.find(std::string_view(rule.user).substr(at + 1));
        found = owner != domains_.end();
      }
      if (found && owner->second.account != i) {
        const TomlNode* const table = ChildOf(*draft_.accounts[i], "user");
        reader_.TellAtKey(*ChildOf(*table, rule.user),
                          "expected rules for users of this account, but " + Quoted(rule.user) +
                              " belongs to " + Of(draft_, owner->second));
      }
    }
  }

  PolicyDraft& draft_;
  PolicyReader& reader_;
  std::unordered_set<std::string_view> packages_;
  std::vector<std::string_view> names_;  // of the packages, in the order of the file
  Uses domains_, users_, roots_;
  std::vector<std::pair<size_t, size_t>> merged_;
};

}  // namespace

void CheckPolicy(PolicyDraft& draft, PolicyReader& reader) {
  const auto merged = PolicyCheck(draft, reader).Run();
  for (auto each = merged.rbegin(); each != merged.rend(); ++each) {
    auto& roots = draft.policy.accounts[each->first].web_roots;
    roots.erase(roots.begin() + static_cast<std::ptrdiff_t>(each->second));
  }
}

}  // namespace hosting

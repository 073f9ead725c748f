// PolicyReader: one value of the policy file after the other, with what is wrong about it.
//
// Purpose: the types of the policy file's keys (sizes, durations, names, choices ...), each read
// from a node, and tables as lists of keys. Ownership: looks at the problems and names, which
// outlive it. Process and crash rules: none; no I/O but what PolicyNames does. Failure modes: each
// function returns false when it has told of a problem, and leaves its value as it was.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quota/policy_file.h"
#include "quota/policy_toml.h"

namespace hosting {

constexpr size_t kMaxName = 255;  // bytes of the name of a package, account, user, external source

class PolicyReader;

// A key of a table that is read into a T.
template <typename T>
struct PolicyField {
  std::string_view name;
  void (*read)(PolicyReader& reader, const TomlNode& node, T& to);
};

template <typename T>
struct Choice {
  std::string_view name;
  T value;
};

class PolicyReader {
 public:
  PolicyReader(const PolicyNames& names, Problems& problems, Problems& warnings)
      : names_(names), problems_(problems), warnings_(warnings) {}

  // "expected EXPECTED for KEY, found ..."
  bool Wrong(const TomlNode& node, std::string_view expected);
  bool Tell(const TomlNode& node, std::string_view text);  // at its value
  bool TellAtKey(const TomlNode& node, std::string_view text);
  void Warn(const TomlNode& node, std::string_view text);
  // "; did you mean ...?", or nothing when nothing is near enough.
  std::string DidYouMean(std::string_view text, const std::vector<std::string_view>& candidates);

  bool Table(const TomlNode& node);  // whether it is one
  // Tells of a key that is not among those.
  void Unknown(const TomlNode& node, const std::vector<std::string_view>& known);
  bool Size(const TomlNode& node, uint64_t* bytes);
  bool Limit(const TomlNode& node, uint64_t* bytes);   // "none" is 0
  bool Count(const TomlNode& node, uint64_t* number);  // "none" is 0
  bool Duration(const TomlNode& node, uint32_t least, uint32_t* seconds);
  bool DurationOrNever(const TomlNode& node, uint32_t* seconds);  // "never" is 0
  bool Number(const TomlNode& node, int64_t least, int64_t most, uint32_t* number);
  bool NumberOrNone(const TomlNode& node, int64_t most, uint32_t* number);  // "none" is 0
  bool Boolean(const TomlNode& node, bool* value);
  bool Text(const TomlNode& node, std::string_view expected, std::string* text);
  // Lines of UTF-8 without other control characters than line feeds.
  bool Lines(const TomlNode& node, size_t most, std::string* text);
  bool Amount(const TomlNode& node, Money* money);
  bool Currency(const TomlNode& node, std::string* currency);
  bool TimeZone(const TomlNode& node, std::string* zone);
  bool Uid(const TomlNode& node, uint32_t* uid);
  bool Uids(const TomlNode& node, std::vector<uint32_t>* uids);
  bool Percents(const TomlNode& node, std::vector<uint32_t>* percents);
  // The name that a table has by its key.
  bool Name(const TomlNode& table, std::string_view of, std::string* name);
  bool UserName(const TomlNode& node, std::string* user);
  bool Domain(const TomlNode& node, std::string* domain);
  // Absolute and normalised: no double slashes, none at the end, no "." and "..".
  bool Path(const TomlNode& node, std::string* path);

  template <typename T, size_t N>
  bool OneOf(const TomlNode& node, const Choice<T> (&choices)[N], T* value) {
    std::string expected;
    for (const Choice<T>& choice : choices) {
      if (node.kind == TomlNode::Kind::kString && node.text == choice.name) {
        *value = choice.value;
        return true;
      }
      expected += (expected.empty() ? "one of " : ", ") + Quoted(choice.name);
    }
    return Wrong(node, expected);
  }

  // Each element by one of the functions above.
  bool List(const TomlNode& node, std::string_view expected,
            bool (PolicyReader::*element)(const TomlNode&, std::string*),
            std::vector<std::string>* values);

  // All keys of a table; those that are not among the fields are problems.
  template <typename T>
  void Fields(const TomlNode& table, std::span<const PolicyField<T>> fields, T& to) {
    for (const TomlNode* node = table.first; node != nullptr; node = node->next) {
      const PolicyField<T>* field = nullptr;
      for (const PolicyField<T>& candidate : fields) {
        if (candidate.name == node->key) {
          field = &candidate;
          break;
        }
      }
      if (field != nullptr) {
        field->read(*this, *node, to);
        continue;
      }
      std::vector<std::string_view> known;
      for (const PolicyField<T>& candidate : fields) {
        known.push_back(candidate.name);
      }
      Unknown(*node, known);
    }
  }

 private:
  const PolicyNames& names_;
  Problems& problems_;
  Problems& warnings_;
  std::unordered_map<std::string_view, bool> zones_;                    // asked before
  std::unordered_map<std::string_view, std::optional<uint32_t>> uids_;  // asked before
};

// The node of a key in a table; nullptr: it has none.
const TomlNode* ChildOf(const TomlNode& table, std::string_view key);

}  // namespace hosting

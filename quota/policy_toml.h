// Reader of the policy file's language: TOML 1.0 without what a policy has no use for (multi-line
// strings, arrays of tables, dotted keys that add to a table of a header).
//
// Purpose: a tree of what the file says with the place of each thing, and every problem of the
// file, not only the first. What it accepts is TOML and means the same there; a test compares it
// with toml++. That library itself takes longer for a file of 10,000 accounts than loading such a
// policy may take in all (docs/packages.md), and it stops at the first error. Ownership: a document
// owns its nodes; their texts point into the file's text or into the document, so both must outlive
// them. Process rules: none; no I/O. Failure modes: problems, at most kMaxProblems of them; depth
// and the number of a key's parts are bounded, the size of the text is up to the caller (below 4
// GiB).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quota/policy_text.h"

namespace hosting {

constexpr int kMaxTomlDepth = 16;  // of arrays and inline tables in each other, and parts of a key

struct TomlNode {
  enum class Kind : uint8_t {
    kTable,
    kArray,
    kString,
    kInteger,
    kBoolean,
    kOther  // a bare word, a number with a fraction, a date: nothing that a policy uses
  };
  // How a table came to be, which decides what may be added to it.
  enum class Made : uint8_t { kImplicit, kByHeader, kByDottedKey, kInline };

  Kind kind = Kind::kTable;
  Made made = Made::kImplicit;
  Line line = 0;
  uint32_t key_offset = 0;    // of the key, or where it has none the value
  uint32_t value_offset = 0;  // of tables with a header: of the key
  std::string_view key;
  std::string_view text;      // kString: its value; kOther: as written
  int64_t number = 0;         // kInteger, kBoolean
  TomlNode* first = nullptr;  // children of tables and arrays, in their order
  TomlNode* last = nullptr;
  TomlNode* next = nullptr;
  uint32_t children = 0;
};

class TomlDocument {
 public:
  // Reads all of the text; what is wrong goes to `problems`. The tree has what could be read.
  TomlDocument(std::string_view text, Problems& problems);

  [[nodiscard]] const TomlNode& root() const { return *root_; }

 private:
  friend class TomlParser;
  static constexpr size_t kBlock = 4096;  // nodes allocated at a time
  using Keys = std::unordered_map<std::string_view, TomlNode*>;

  TomlNode* NewNode();
  TomlNode* Find(TomlNode* table, std::string_view key);
  void Append(TomlNode* parent, TomlNode* child);

  std::vector<std::unique_ptr<TomlNode[]>> blocks_;
  size_t used_ = kBlock;                             // of the last block
  std::deque<std::string> texts_;                    // strings that had escapes
  std::unordered_map<const TomlNode*, Keys> large_;  // tables with many keys
  TomlNode* root_;
};

// "a table", "a string", as messages say it.
const char* NameOf(TomlNode::Kind kind);

}  // namespace hosting

#include "quota/policy_toml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace hosting {
namespace {

constexpr uint32_t kSearched = 16;  // a table with more keys gets a hash table

bool IsBareKey(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

bool IsBlank(char c) {
  return c == ' ' || c == '\t';
}

// Whether any of 64 bytes needs a closer look: not ASCII, or a control character other than the
// usual two. Written so that the compiler makes vector code of it.
bool Suspicious(const char* p) {
  uint8_t any = 0;
  for (int i = 0; i < 64; ++i) {
    const auto c = static_cast<uint8_t>(p[i]);
    any |= static_cast<uint8_t>((c < 0x20 && c != '\n' && c != '\t') || c >= 0x7f);
  }
  return any != 0;
}

// "+1_000" -> 1000. False for what is no decimal integer of 64 bits.
bool DecimalInteger(std::string_view word, int64_t* number) {
  std::string digits;
  std::string_view rest = word;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    if (rest[0] == '-') {
      digits = "-";
    }
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest.size() > 64 || (rest[0] == '0' && rest.size() > 1) ||
      rest.front() == '_' || rest.back() == '_' || rest.find("__") != std::string_view::npos) {
    return false;
  }
  for (const char c : rest) {
    if (c != '_') {
      digits.push_back(c);
    }
  }
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *number);
  return error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

const char* NameOf(TomlNode::Kind kind) {
  switch (kind) {
    case TomlNode::Kind::kTable:
      return "a table";
    case TomlNode::Kind::kArray:
      return "an array";
    case TomlNode::Kind::kString:
      return "a string";
    case TomlNode::Kind::kInteger:
      return "a number";
    case TomlNode::Kind::kBoolean:
      return "true or false";
    default:
      return "a word without quotes";
  }
}

TomlNode* TomlDocument::NewNode() {
  if (used_ == kBlock) {
    blocks_.push_back(std::make_unique<TomlNode[]>(kBlock));
    used_ = 0;
  }
  return &blocks_.back()[used_++];
}

TomlNode* TomlDocument::Find(TomlNode* table, std::string_view key) {
  if (table->children > kSearched) {
    const Keys& keys = large_[table];
    const auto found = keys.find(key);
    return found == keys.end() ? nullptr : found->second;
  }
  TomlNode* child = table->first;
  while (child != nullptr && child->key != key) {
    child = child->next;
  }
  return child;
}

void TomlDocument::Append(TomlNode* parent, TomlNode* child) {
  (parent->last == nullptr ? parent->first : parent->last->next) = child;
  parent->last = child;
  ++parent->children;
  if (parent->kind != TomlNode::Kind::kTable || parent->children <= kSearched) {
    return;
  }
  Keys& keys = large_[parent];
  if (keys.empty()) {
    for (TomlNode* each = parent->first; each != nullptr; each = each->next) {
      keys.emplace(each->key, each);
    }
  } else {
    keys.emplace(child->key, child);
  }
}

// Goes through the text once. A function that returns false has told of a problem; what is left of
// the statement is skipped then.
class TomlParser {
 public:
  TomlParser(std::string_view text, TomlDocument& document, Problems& problems)
      : document_(document),
        problems_(problems),
        begin_(text.data()),
        p_(text.data()),
        end_(text.data() + text.size()),
        section_(document.root_) {}

  void Run() {
    CheckCharacters();
    if (end_ - p_ >= 3 && std::memcmp(p_, "\xef\xbb\xbf", 3) == 0) {
      p_ += 3;
    }
    while (p_ != end_) {
      if (!Statement() || !EndOfLine()) {
        SkipToNextStatement();
      }
    }
  }

 private:
  struct Part {
    std::string_view text;
    uint32_t offset = 0;
  };

  [[nodiscard]] uint32_t Offset() const { return static_cast<uint32_t>(p_ - begin_); }
  [[nodiscard]] bool At(char c) const { return p_ != end_ && *p_ == c; }
  [[nodiscard]] bool AtNewline() const {
    return At('\n') || (At('\r') && end_ - p_ > 1 && p_[1] == '\n');
  }
  bool Fail(std::string_view text) { return FailAt(line_, Offset(), text); }
  bool FailAt(Line line, uint32_t offset, std::string_view text) {
    problems_.Add(line, offset, text);
    return false;
  }
  void SkipBlanks() {
    while (p_ != end_ && IsBlank(*p_)) {
      ++p_;
    }
  }
  void SkipComment() {
    if (At('#')) {
      p_ = std::find(p_, end_, '\n');
    }
  }
  void Newline() {
    p_ += *p_ == '\r' ? 2 : 1;
    ++line_;
  }
  // Blanks, comments and ends of lines, as they may stand in an array.
  void SkipSpace() {
    for (;;) {
      SkipBlanks();
      SkipComment();
      if (!AtNewline()) {
        return;
      }
      Newline();
    }
  }

  void CheckCharacters();
  bool Statement();
  bool EndOfLine();
  void SkipToNextStatement();
  [[nodiscard]] bool LooksLikeStatement() const;
  bool Header();
  bool OpenHeader();
  bool ParseKey();
  bool KeyAndValue(TomlNode* table, int depth);
  TomlNode* Descend(TomlNode* table);
  bool ParseValue(TomlNode* node, int depth);
  bool ParseString(std::string_view* value);
  bool ParseEscape(std::string* to);
  bool ParseArray(TomlNode* node, int depth);
  bool ParseInlineTable(TomlNode* node, int depth);
  bool ParseWord(TomlNode* node);

  TomlDocument& document_;
  Problems& problems_;
  const char* const begin_;
  const char* p_;
  const char* const end_;
  Line line_ = 1;
  TomlNode* section_;  // the table that keys go to; after a bad header one that nobody looks at
  std::array<Part, kMaxTomlDepth> parts_;  // of the last key
  size_t part_count_ = 0;
};

void TomlParser::CheckCharacters() {
  const char* p = begin_;
  Line line = 1;
  const char* counted = begin_;  // lines before this are in `line`
  while (p != end_) {
    if (end_ - p >= 64 && !Suspicious(p)) {
      p += 64;
      continue;
    }
    const char* const stop = end_ - p >= 64 ? p + 64 : end_;
    while (p < stop) {
      const auto c = static_cast<uint8_t>(*p);
      const size_t length = Utf8Length(p, end_);
      const bool control =
          (c < 0x20 && c != '\t' && c != '\n' && !(c == '\r' && end_ - p > 1 && p[1] == '\n')) ||
          c == 0x7f;
      if (length == 0 || control) {
        line += static_cast<Line>(std::count(counted, p, '\n'));
        counted = p;
        FailAt(line, static_cast<uint32_t>(p - begin_),
               length == 0 ? "expected UTF-8" : "expected no control characters");
      }
      p += length == 0 ? 1 : length;
    }
  }
}

bool TomlParser::Statement() {
  SkipBlanks();
  if (p_ == end_ || *p_ == '#' || AtNewline()) {
    return true;
  }
  return *p_ == '[' ? Header() : KeyAndValue(section_, 0);
}

bool TomlParser::EndOfLine() {
  SkipBlanks();
  SkipComment();
  if (p_ == end_) {
    return true;
  }
  if (!AtNewline()) {
    return Fail("expected the end of the line");
  }
  Newline();
  return true;
}

// After a problem: to the next line that could begin a statement, so that the rest of a broken
// value brings no problems of its own.
void TomlParser::SkipToNextStatement() {
  do {
    p_ = std::find(p_, end_, '\n');
    if (p_ != end_) {
      Newline();
    }
  } while (p_ != end_ && !LooksLikeStatement());
}

bool TomlParser::LooksLikeStatement() const {
  const char* p = p_;
  while (p != end_ && IsBlank(*p)) {
    ++p;
  }
  if (p == end_ || *p == '#' || *p == '\n' || *p == '\r' || *p == '[') {
    return true;
  }
  while (p != end_ && (IsBareKey(*p) || *p == '.')) {
    ++p;
  }
  while (p != end_ && IsBlank(*p)) {
    ++p;
  }
  return p != end_ && *p == '=';
}

bool TomlParser::Header() {
  const uint32_t start = Offset();
  ++p_;
  if (At('[')) {
    section_ = document_.NewNode();
    return FailAt(line_, start, "expected [name]: a policy has no arrays of tables");
  }
  SkipBlanks();
  bool good = ParseKey();
  if (good && !At(']')) {
    good = Fail("expected ] after the table's name");
  }
  if (good) {
    ++p_;
    good = OpenHeader();
  }
  if (!good) {
    section_ = document_.NewNode();
  }
  return good;
}

bool TomlParser::OpenHeader() {
  TomlNode* table = document_.root_;
  for (size_t i = 0; i < part_count_; ++i) {
    const Part& part = parts_[i];
    const bool last = i + 1 == part_count_;
    TomlNode* child = document_.Find(table, part.text);
    if (child == nullptr) {
      child = document_.NewNode();
      child->key = part.text;
      child->line = line_;
      child->key_offset = child->value_offset = part.offset;
      document_.Append(table, child);
    } else if (child->kind != TomlNode::Kind::kTable || child->made == TomlNode::Made::kInline) {
      return FailAt(
          line_, part.offset,
          Quoted(part.text) + " has its value in line " + std::to_string(child->line) + " already");
    } else if (last && child->made != TomlNode::Made::kImplicit) {
      return FailAt(line_, part.offset,
                    "table " + Quoted(part.text) + " is given twice, first in line " +
                        std::to_string(child->line));
    }
    if (last) {
      child->made = TomlNode::Made::kByHeader;
      child->line = line_;
      child->key_offset = child->value_offset = part.offset;
    }
    table = child;
  }
  section_ = table;
  return true;
}

// Fills parts_; ends at the first character that does not belong to the key, blanks skipped.
bool TomlParser::ParseKey() {
  part_count_ = 0;
  for (;;) {
    if (part_count_ == parts_.size()) {
      return Fail("expected a key of at most " + std::to_string(kMaxTomlDepth) + " parts");
    }
    Part part;
    part.offset = Offset();
    if (At('"') || At('\'')) {
      if (!ParseString(&part.text)) {
        return false;
      }
    } else {
      const char* const start = p_;
      while (p_ != end_ && IsBareKey(*p_)) {
        ++p_;
      }
      part.text = {start, static_cast<size_t>(p_ - start)};
      if (part.text.empty()) {
        return Fail(
            "expected a key (names with other characters than letters, digits, - and _ in quotes)");
      }
    }
    parts_[part_count_++] = part;
    SkipBlanks();
    if (!At('.')) {
      return true;
    }
    ++p_;
    SkipBlanks();
  }
}

// The table that the last part of a dotted key belongs to; nullptr: told.
TomlNode* TomlParser::Descend(TomlNode* table) {
  for (size_t i = 0; i + 1 < part_count_; ++i) {
    const Part& part = parts_[i];
    TomlNode* child = document_.Find(table, part.text);
    if (child == nullptr) {
      child = document_.NewNode();
      child->made = TomlNode::Made::kByDottedKey;
      child->key = part.text;
      child->line = line_;
      child->key_offset = child->value_offset = part.offset;
      document_.Append(table, child);
    } else if (child->kind != TomlNode::Kind::kTable ||
               child->made != TomlNode::Made::kByDottedKey) {
      FailAt(line_, part.offset,
             Quoted(part.text) + " is given already, in line " + std::to_string(child->line));
      return nullptr;
    }
    table = child;
  }
  return table;
}

bool TomlParser::KeyAndValue(TomlNode* table, int depth) {
  const Line line = line_;
  if (!ParseKey()) {
    return false;
  }
  if (!At('=')) {
    return Fail("expected = after the key");
  }
  ++p_;
  SkipBlanks();
  table = Descend(table);
  if (table == nullptr) {
    return false;
  }
  const Part part = parts_[part_count_ - 1];
  TomlNode* const node = document_.NewNode();
  node->key = part.text;
  node->line = line;
  node->key_offset = part.offset;
  const TomlNode* const before = document_.Find(table, part.text);
  if (before != nullptr) {
    FailAt(line, part.offset,
           Quoted(part.text) + " is given twice, first in line " + std::to_string(before->line));
  }
  const bool good = ParseValue(node, depth);
  if (before == nullptr && good) {
    document_.Append(table, node);
  }
  return good;
}

bool TomlParser::ParseValue(TomlNode* node, int depth) {
  node->value_offset = Offset();
  if (depth == kMaxTomlDepth) {
    return Fail("expected no more than " + std::to_string(kMaxTomlDepth) +
                " arrays and tables in each other");
  }
  if (At('"') || At('\'')) {
    node->kind = TomlNode::Kind::kString;
    return ParseString(&node->text);
  }
  if (At('[')) {
    return ParseArray(node, depth);
  }
  return At('{') ? ParseInlineTable(node, depth) : ParseWord(node);
}

bool TomlParser::ParseString(std::string_view* value) {
  const char quote = *p_;
  const uint32_t start_offset = Offset();
  if (end_ - p_ >= 3 && p_[1] == quote && p_[2] == quote) {
    return Fail("expected a string in one line: a policy has no multi-line strings");
  }
  const char* const start = ++p_;
  std::string* unescaped = nullptr;
  const char* copied = start;
  for (;;) {
    while (p_ != end_ && *p_ != quote && *p_ != '\n' && *p_ != '\\') {
      ++p_;
    }
    if (p_ == end_ || *p_ == '\n') {
      return FailAt(line_, start_offset,
                    std::string("expected a closing ") + quote + " in the same line");
    }
    if (*p_ == quote) {
      break;
    }
    if (quote == '\'') {  // a backslash is a character as others are
      ++p_;
      continue;
    }
    if (unescaped == nullptr) {
      unescaped = &document_.texts_.emplace_back();
    }
    unescaped->append(copied, p_);
    if (!ParseEscape(unescaped)) {
      return false;
    }
    copied = p_;
  }
  if (unescaped != nullptr) {
    unescaped->append(copied, p_);
    *value = *unescaped;
  } else {
    *value = {start, static_cast<size_t>(p_ - start)};
  }
  ++p_;
  return true;
}

bool TomlParser::ParseEscape(std::string* to) {
  constexpr std::string_view kNames = "btnfr\"\\";
  constexpr std::string_view kMeant = "\b\t\n\f\r\"\\";
  const uint32_t offset = Offset();
  ++p_;
  const char c = p_ == end_ ? '\0' : *p_;
  const size_t simple = kNames.find(c);
  if (simple != std::string_view::npos) {
    to->push_back(kMeant[simple]);
    ++p_;
    return true;
  }
  const std::ptrdiff_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
  uint32_t code = 0;
  if (digits != 0 && end_ - p_ > digits) {
    const auto [end, error] = std::from_chars(p_ + 1, p_ + 1 + digits, code, 16);
    if (error == std::errc() && end == p_ + 1 + digits && code <= 0x10ffff &&
        (code < 0xd800 || code > 0xdfff)) {
      AppendUtf8(code, to);
      p_ = end;
      return true;
    }
  }
  return FailAt(line_, offset, "expected one of \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX \\UXXXXXXXX");
}

bool TomlParser::ParseArray(TomlNode* node, int depth) {
  node->kind = TomlNode::Kind::kArray;
  ++p_;
  for (;;) {
    SkipSpace();
    if (At(']')) {
      ++p_;
      return true;
    }
    TomlNode* const element = document_.NewNode();
    element->line = line_;
    element->key_offset = Offset();
    if (!ParseValue(element, depth + 1)) {
      return false;
    }
    document_.Append(node, element);
    SkipSpace();
    if (At(',')) {
      ++p_;
    } else if (!At(']')) {
      return Fail("expected a comma or ] in the array that begins in line " +
                  std::to_string(node->line));
    }
  }
}

bool TomlParser::ParseInlineTable(TomlNode* node, int depth) {
  node->kind = TomlNode::Kind::kTable;
  node->made = TomlNode::Made::kInline;
  ++p_;
  SkipBlanks();
  if (At('}')) {
    ++p_;
    return true;
  }
  for (;;) {
    if (!KeyAndValue(node, depth + 1)) {
      return false;
    }
    SkipBlanks();
    if (At('}')) {
      ++p_;
      return true;
    }
    if (!At(',')) {
      return Fail("expected a comma or } in the same line");
    }
    ++p_;
    SkipBlanks();
  }
}

bool TomlParser::ParseWord(TomlNode* node) {
  const char* const start = p_;
  while (p_ != end_ && (IsBareKey(*p_) || std::strchr("+.:/@%~$", *p_) != nullptr) && *p_ != '\0') {
    ++p_;
  }
  node->text = {start, static_cast<size_t>(p_ - start)};
  if (node->text.empty()) {
    return Fail("expected a value: a string in quotes, a number, true, false, [ or {");
  }
  if (node->text == "true" || node->text == "false") {
    node->kind = TomlNode::Kind::kBoolean;
    node->number = node->text == "true" ? 1 : 0;
  } else {
    node->kind = DecimalInteger(node->text, &node->number) ? TomlNode::Kind::kInteger
                                                           : TomlNode::Kind::kOther;
  }
  return true;
}

TomlDocument::TomlDocument(std::string_view text, Problems& problems) : root_(NewNode()) {
  root_->made = TomlNode::Made::kByHeader;
  TomlParser(text, *this, problems).Run();
}

}  // namespace hosting

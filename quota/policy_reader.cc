#include "quota/policy_reader.h"

#include <algorithm>

#include "quota/size.h"

namespace hosting {
namespace {

using Kind = TomlNode::Kind;

constexpr size_t kMaxPath = 4095;   // PATH_MAX less its NUL
constexpr size_t kMaxDomain = 253;  // RFC 1035, 2.3.4, as written with dots

std::string Found(const TomlNode& node) {
  switch (node.kind) {
    case Kind::kString:
      return Quoted(node.text);
    case Kind::kOther:
      return Quoted(node.text) + " without quotes";
    case Kind::kInteger:
      return std::to_string(node.number);
    case Kind::kBoolean:
      return node.number != 0 ? "true" : "false";
    default:
      return NameOf(node.kind);
  }
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && text.front() != ' ' && text.back() != ' ' &&
         IsPrintable(text);
}

bool IsDomain(std::string_view text) {
  if (text.empty() || text.size() > kMaxDomain || text.front() == '.' || text.back() == '.' ||
      text.find("..") != std::string_view::npos || !IsPrintable(text)) {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || (static_cast<uint8_t>(c) & 0x80) != 0;
  });
}

// Nothing when it is not absolute or has "." or "..".
std::optional<std::string> Normalised(std::string_view path) {
  if (path.empty() || path[0] != '/' || path.size() > kMaxPath || !IsPrintable(path)) {
    return std::nullopt;
  }
  std::string normal;
  normal.reserve(path.size());
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    if (component == "." || component == "..") {
      return std::nullopt;
    }
    if (!component.empty()) {
      normal += '/';
      normal += component;
    }
    at = end + 1;
  }
  return normal;
}

}  // namespace

const TomlNode* ChildOf(const TomlNode& table, std::string_view key) {
  const TomlNode* node = table.first;
  while (node != nullptr && node->key != key) {
    node = node->next;
  }
  return node;
}

bool PolicyReader::Wrong(const TomlNode& node, std::string_view expected) {
  std::string text = "expected " + std::string(expected);
  if (!node.key.empty()) {
    text += " in " + std::string(node.key.substr(0, kMaxName));
  }
  return Tell(node, text + ", found " + Found(node));
}

bool PolicyReader::Tell(const TomlNode& node, std::string_view text) {
  problems_.Add(node.line, node.value_offset, text);
  return false;
}

bool PolicyReader::TellAtKey(const TomlNode& node, std::string_view text) {
  problems_.Add(node.line, node.key_offset, text);
  return false;
}

void PolicyReader::Warn(const TomlNode& node, std::string_view text) {
  warnings_.Add(node.line, node.key_offset, text);
}

std::string PolicyReader::DidYouMean(std::string_view text,
                                     const std::vector<std::string_view>& candidates) {
  if (problems_.full()) {
    return "";  // nobody will see it
  }
  const std::string_view nearest = Nearest(text, candidates);
  return nearest.empty() ? "" : "; did you mean " + Quoted(nearest) + "?";
}

void PolicyReader::Unknown(const TomlNode& node, const std::vector<std::string_view>& known) {
  std::string hint = DidYouMean(node.key, known);
  if (hint.empty()) {
    hint = "; there are";
    for (const std::string_view each : known) {
      hint += (each == known.front() ? " " : ", ") + std::string(each);
    }
  }
  TellAtKey(node, "expected a known key, found " + Quoted(node.key) + hint);
}

bool PolicyReader::Table(const TomlNode& node) {
  return node.kind == Kind::kTable || Wrong(node, "a table");
}

bool PolicyReader::Size(const TomlNode& node, uint64_t* bytes) {
  if (node.kind == Kind::kInteger && node.number >= 0 &&
      static_cast<uint64_t>(node.number) <= kMaxSize) {
    *bytes = static_cast<uint64_t>(node.number);
    return true;
  }
  const auto size = ParseSize(node.kind == Kind::kString ? node.text : std::string_view());
  if (!size.ok()) {
    return Wrong(node, size.status().message().substr(sizeof("expected ") - 1));
  }
  *bytes = *size;
  return true;
}

bool PolicyReader::Limit(const TomlNode& node, uint64_t* bytes) {
  if (node.kind == Kind::kInteger && node.number > 0) {
    return Size(node, bytes);
  }
  const auto size = ParseLimit(node.kind == Kind::kString    ? node.text
                               : node.kind == Kind::kInteger ? std::string_view("0")
                                                             : std::string_view());
  if (!size.ok()) {
    return Wrong(node, size.status().message().substr(sizeof("expected ") - 1));
  }
  *bytes = *size;
  return true;
}

bool PolicyReader::Count(const TomlNode& node, uint64_t* number) {
  if (node.kind == Kind::kString && node.text == "none") {
    *number = 0;
    return true;
  }
  if (node.kind != Kind::kInteger || node.number < 1) {
    return Wrong(node, "a number above 0, or \"none\" for no limit");
  }
  *number = static_cast<uint64_t>(node.number);
  return true;
}

bool PolicyReader::Duration(const TomlNode& node, uint32_t least, uint32_t* seconds) {
  const auto duration = ParseDuration(node.kind == Kind::kString ? node.text : std::string_view());
  if (!duration.ok()) {
    return Wrong(node, duration.status().message().substr(sizeof("expected ") - 1));
  }
  if (*duration < least) {
    return Wrong(node, "a time of at least " + FormatDuration(least));
  }
  *seconds = *duration;
  return true;
}

bool PolicyReader::DurationOrNever(const TomlNode& node, uint32_t* seconds) {
  if (node.kind == Kind::kString && node.text == "never") {
    *seconds = 0;
    return true;
  }
  return Duration(node, 1, seconds);
}

bool PolicyReader::Number(const TomlNode& node, int64_t least, int64_t most, uint32_t* number) {
  if (node.kind != Kind::kInteger || node.number < least || node.number > most) {
    return Wrong(node, "a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  *number = static_cast<uint32_t>(node.number);
  return true;
}

bool PolicyReader::NumberOrNone(const TomlNode& node, int64_t most, uint32_t* number) {
  if (node.kind == Kind::kString && node.text == "none") {
    *number = 0;
    return true;
  }
  if (node.kind != Kind::kInteger || node.number < 1 || node.number > most) {
    return Wrong(node, "a number from 1 to " + std::to_string(most) + ", or \"none\"");
  }
  *number = static_cast<uint32_t>(node.number);
  return true;
}

bool PolicyReader::Boolean(const TomlNode& node, bool* value) {
  if (node.kind != Kind::kBoolean) {
    return Wrong(node, "true or false");
  }
  *value = node.number != 0;
  return true;
}

bool PolicyReader::Text(const TomlNode& node, std::string_view expected, std::string* text) {
  if (node.kind != Kind::kString || !IsName(node.text)) {
    return Wrong(node, expected);
  }
  *text = node.text;
  return true;
}

bool PolicyReader::Lines(const TomlNode& node, size_t most, std::string* text) {
  bool good = node.kind == TomlNode::Kind::kString && node.text.size() <= most;
  for (size_t at = 0; good && at < node.text.size();) {
    const size_t end = std::min(node.text.find('\n', at), node.text.size());
    good = end == at || IsPrintable(node.text.substr(at, end - at));
    at = end + 1;
  }
  if (!good) {
    return Wrong(node, "lines of text without control characters, at most " + std::to_string(most) +
                           " bytes");
  }
  *text = node.text;
  return true;
}

bool PolicyReader::Amount(const TomlNode& node, Money* money) {
  const auto amount = Money::Parse(node.kind == Kind::kString ? node.text : std::string_view());
  if (!amount.ok()) {
    return Wrong(node, amount.status().message().substr(sizeof("expected ") - 1));
  }
  *money = *amount;
  return true;
}

bool PolicyReader::Currency(const TomlNode& node, std::string* currency) {
  if (node.kind != Kind::kString || node.text.size() != 3 ||
      !std::all_of(node.text.begin(), node.text.end(),
                   [](char c) { return c >= 'A' && c <= 'Z'; })) {
    return Wrong(node, "three capital letters as in ISO 4217, such as \"EUR\"");
  }
  *currency = node.text;
  return true;
}

bool PolicyReader::TimeZone(const TomlNode& node, std::string* zone) {
  bool known = node.kind == Kind::kString;
  if (known) {
    const auto asked = zones_.find(node.text);
    known = asked != zones_.end() ? asked->second : names_.known_zone(std::string(node.text));
    zones_.emplace(node.text, known);
  }
  if (!known) {
    return Wrong(node, "a time zone of this system, such as \"Europe/Berlin\"");
  }
  *zone = node.text;
  return true;
}

bool PolicyReader::Uid(const TomlNode& node, uint32_t* uid) {
  if (node.kind == Kind::kInteger && node.number >= 0 && node.number < UINT32_MAX) {
    *uid = static_cast<uint32_t>(node.number);
    return true;
  }
  if (node.kind != Kind::kString || !IsName(node.text)) {
    return Wrong(node, "a uid (a number or the name of a system user)");
  }
  auto asked = uids_.find(node.text);
  if (asked == uids_.end()) {
    asked = uids_.emplace(node.text, names_.uid_of(std::string(node.text))).first;
  }
  if (!asked->second) {
    return Wrong(node, "a system user that there is");
  }
  *uid = *asked->second;
  return true;
}

bool PolicyReader::Uids(const TomlNode& node, std::vector<uint32_t>* uids) {
  if (node.kind != Kind::kArray) {
    return Wrong(node, "an array of uids, such as [5000] or [\"vmail\"]");
  }
  bool good = true;
  std::vector<uint32_t> values;
  for (const TomlNode* each = node.first; each != nullptr; each = each->next) {
    uint32_t uid = 0;
    if (!Uid(*each, &uid)) {
      good = false;
    } else {
      values.push_back(uid);
    }
  }
  if (good) {
    *uids = std::move(values);
  }
  return good;
}

bool PolicyReader::Percents(const TomlNode& node, std::vector<uint32_t>* percents) {
  constexpr int64_t kMost = 200;
  if (node.kind != Kind::kArray) {
    return Wrong(node, "an array of percentages, such as [80, 90, 100]");
  }
  bool good = true;
  std::vector<uint32_t> values;
  for (const TomlNode* each = node.first; each != nullptr; each = each->next) {
    uint32_t percent = 0;
    if (!Number(*each, 1, kMost, &percent)) {
      good = false;
    } else if (!values.empty() && percent <= values.back()) {
      good = Wrong(*each, "a higher percentage than the one before");
    } else {
      values.push_back(percent);
    }
  }
  if (good) {
    *percents = std::move(values);
  }
  return good;
}

bool PolicyReader::Name(const TomlNode& table, std::string_view of, std::string* name) {
  if (!IsName(table.key)) {
    return TellAtKey(table, "expected the name of " + std::string(of) + ": 1 to " +
                                std::to_string(kMaxName) +
                                " bytes, no control characters, no blanks at its ends");
  }
  *name = table.key;
  return true;
}

bool PolicyReader::UserName(const TomlNode& node, std::string* user) {
  return Text(node, "a mail user, such as \"ann@example.com\"", user);
}

bool PolicyReader::Domain(const TomlNode& node, std::string* domain) {
  if (node.kind != Kind::kString || !IsDomain(node.text)) {
    return Wrong(node, "a mail domain, such as \"example.com\"");
  }
  *domain = LowerCase(node.text);
  return true;
}

bool PolicyReader::Path(const TomlNode& node, std::string* path) {
  const auto normal = node.kind == Kind::kString ? Normalised(node.text) : std::nullopt;
  if (!normal) {
    return Wrong(node, "an absolute path without \".\" and \"..\"");
  }
  if (normal->empty()) {
    return Wrong(node, "a folder below /");
  }
  *path = *normal;
  return true;
}

bool PolicyReader::List(const TomlNode& node, std::string_view expected,
                        bool (PolicyReader::*element)(const TomlNode&, std::string*),
                        std::vector<std::string>* values) {
  if (node.kind != Kind::kArray) {
    return Wrong(node, expected);
  }
  bool good = true;
  values->reserve(node.children);
  for (const TomlNode* each = node.first; each != nullptr; each = each->next) {
    std::string value;
    if ((this->*element)(*each, &value)) {
      values->push_back(std::move(value));
    } else {
      good = false;
    }
  }
  return good;
}

}  // namespace hosting

#include "quota/protocol_text.h"

#include <algorithm>
#include <cstdint>

namespace hosting {
namespace {

bool IsPrintableAscii(char c) {
  return c >= ' ' && c <= '~';
}

// One printable character for each of the value, none for those that only control.
void AppendClean(std::string_view value, std::string* to) {
  for (const char c : value) {
    const auto byte = static_cast<uint8_t>(c);
    if (IsPrintableAscii(c)) {
      *to += c;
    } else if (byte >= 0xc0) {  // the first of a character's bytes
      *to += '?';
    }
  }
}

// The name in braces at text[at] == '{'; empty: there is none.
std::string_view NameAt(std::string_view text, size_t at) {
  const size_t end = text.find('}', at);
  return end == std::string_view::npos ? std::string_view() : text.substr(at + 1, end - at - 1);
}

}  // namespace

std::string CheckTemplate(std::string_view text, std::span<const std::string_view> names,
                          size_t* at_r) {
  *at_r = 0;
  if (text.empty() || text.size() > kMaxTemplate) {
    return "expected a text of 1 to " + std::to_string(kMaxTemplate) + " characters";
  }
  const auto bad = std::find_if_not(text.begin(), text.end(), IsPrintableAscii);
  if (bad != text.end()) {
    *at_r = static_cast<size_t>(bad - text.begin());
    return "expected printable ASCII only, without control characters";
  }
  if (text.front() == '[') {
    return "expected a text that does not begin with \"[\", which would be a response code";
  }
  for (size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
    *at_r = at;
    const std::string_view name = NameAt(text, at);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      std::string expected = "expected one of";
      for (const std::string_view known : names) {
        expected += " {" + std::string(known) + "}";
      }
      return expected;
    }
  }
  return "";
}

std::vector<std::string> NamesIn(std::string_view text) {
  std::vector<std::string> names;
  for (size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
    std::string name(NameAt(text, at));
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

std::string FillTemplate(std::string_view text, TextValues values) {
  std::string filled;
  for (size_t at = 0; at < text.size();) {
    const std::string_view name = text[at] == '{' ? NameAt(text, at) : std::string_view();
    if (name.empty()) {
      AppendClean(text.substr(at, 1), &filled);
      ++at;
      continue;
    }
    for (const auto& [known, value] : values) {
      if (known == name) {
        AppendClean(value, &filled);
      }
    }
    at += name.size() + 2;
  }
  if (!filled.empty() && filled.front() == '[') {
    filled.front() = '(';
  }
  if (filled.size() > kMaxProtocolText) {
    filled.resize(kMaxProtocolText - 3);
    filled += "...";
  }
  return filled;
}

}  // namespace hosting

#include "plugin/migrate-text.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace lbox::migrate {
namespace {

// What stands behind \001 for each octet that may not stand in a field.
constexpr std::array<std::pair<char, char>, 5> kEscapes = {
    {{'\0', '0'}, {'\001', '1'}, {'\t', 't'}, {'\r', 'r'}, {'\n', 'n'}}};

void AppendEscaped(std::string& text, std::string_view field) {
  for (const char c : field) {
    bool plain = true;
    for (const auto& [octet, letter] : kEscapes) {
      if (c == octet) {
        text += {'\001', letter};
        plain = false;
      }
    }
    if (plain) {
      text += c;
    }
  }
}

char Unescaped(char letter) {
  for (const auto& [octet, known] : kEscapes) {
    if (letter == known) {
      return octet;
    }
  }
  return letter;
}

}  // namespace

std::string JoinFields(const std::vector<std::string>& fields) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) {
      line += '\t';
    }
    AppendEscaped(line, fields[i]);
  }
  return line;
}

std::vector<std::string> SplitFields(std::string_view line) {
  std::vector<std::string> fields(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\t') {
      fields.emplace_back();
    } else if (line[i] == '\001' && i + 1 < line.size()) {
      fields.back() += Unescaped(line[++i]);
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

std::optional<uint64_t> ToNumber(std::string_view text) {
  uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

std::string LastLine(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  const size_t begin = text.rfind('\n');
  return std::string(begin == std::string_view::npos ? text : text.substr(begin + 1));
}

std::string ShownBytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  (void)snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string ShownSeconds(int64_t seconds) {
  std::array<char, 32> text{};
  if (seconds >= 3600) {
    (void)snprintf(text.data(), text.size(), "%lld:%02lld:%02lld",
                   static_cast<long long>(seconds / 3600),
                   static_cast<long long>(seconds / 60 % 60), static_cast<long long>(seconds % 60));
  } else {
    (void)snprintf(text.data(), text.size(), "%lld:%02lld", static_cast<long long>(seconds / 60),
                   static_cast<long long>(seconds % 60));
  }
  return text.data();
}

}  // namespace lbox::migrate

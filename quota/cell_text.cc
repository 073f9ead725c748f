#include "quota/cell_text.h"

#include <cstdint>

namespace hosting {
namespace {

struct Character {
  uint32_t code = 0;
  size_t bytes = 0;  // 0: the first byte begins none
};

uint8_t ByteAt(std::string_view text, size_t at) {
  return at < text.size() ? static_cast<uint8_t>(text[at]) : 0;
}

Character FirstOf(std::string_view text) {
  const uint8_t first = ByteAt(text, 0);
  if (first < 0x80) {
    return {first, 1};
  }
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || bytes > text.size()) {
    return {};
  }
  uint32_t code = first & (0x7fU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const uint8_t next = ByteAt(text, i);
    if ((next & 0xc0) != 0x80) {
      return {};
    }
    code = code << 6 | (next & 0x3fU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool good = code >= kLeast[bytes] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return good ? Character{code, bytes} : Character{};
}

bool IsShown(uint32_t code) {
  const auto in = [&](uint32_t from, uint32_t to) { return code >= from && code <= to; };
  return code >= 0x20 && !in(0x7f, 0x9f) && code != 0x61c && !in(0x200b, 0x200f) &&
         !in(0x2028, 0x202e) && !in(0x2060, 0x206f) && code != 0xfeff;
}

}  // namespace

std::string CellText(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const Character next = FirstOf(text);
    if (next.bytes != 0 && IsShown(next.code)) {
      shown += text.substr(0, next.bytes);
    } else {
      shown += '?';
    }
    text.remove_prefix(next.bytes == 0 ? 1 : next.bytes);
  }
  return shown;
}

std::string CsvCell(std::string_view text) {
  std::string cell = "\"";
  if (!text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos) {
    cell += '\'';
  }
  for (const char c : text) {
    cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  }
  return cell + "\"";
}

}  // namespace hosting

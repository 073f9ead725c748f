#include "quota/shown_name.h"

#include <array>

#include "quota/policy_text.h"

namespace hosting {
namespace {

uint32_t CodeOf(const char* p, size_t length) {
  constexpr std::array<uint32_t, 5> kLead = {0, 0x7f, 0x1f, 0x0f, 0x07};
  uint32_t code = static_cast<uint8_t>(p[0]) & kLead[length];
  for (size_t i = 1; i < length; ++i) {
    code = code << 6 | (static_cast<uint8_t>(p[i]) & 0x3f);
  }
  return code;
}

struct Range {
  uint32_t first, last;
};

// Unicode's blanks that are neither letters nor controls, line separators included.
constexpr Range kBlanks[] = {{0x09, 0x0d},     {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                             {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                             {0x205f, 0x205f}, {0x3000, 0x3000}};
// Controls, bidirectional ones (UAX #9) among them; what has no width; tags, specials and
// noncharacters.
constexpr Range kDropped[] = {
    {0x00, 0x1f},      {0x7f, 0x9f},     {0xad, 0xad},     {0x034f, 0x034f},   {0x061c, 0x061c},
    {0x115f, 0x1160},  {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},   {0x202a, 0x202e},
    {0x2060, 0x206f},  {0x3164, 0x3164}, {0xfdd0, 0xfdef}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},  {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
    {0xe0000, 0xe0fff}};

template <size_t N>
bool Among(uint32_t code, const Range (&ranges)[N]) {
  for (const Range& range : ranges) {
    if (code >= range.first && code <= range.last) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string ShownName(std::string_view name, size_t most) {
  std::string shown;
  size_t characters = 0, cut = 0;  // cut: where "..." would go
  bool blank = false;
  const char* const end = name.data() + name.size();
  for (const char* p = name.data(); p != end;) {
    const size_t length = Utf8Length(p, end);
    const uint32_t code = length == 0 ? '?' : CodeOf(p, length);
    p += length == 0 ? 1 : length;
    if (Among(code, kBlanks)) {
      blank = !shown.empty();
      continue;
    }
    if (Among(code, kDropped)) {
      continue;
    }
    const size_t more = blank ? 2 : 1;
    if (characters + more > most) {
      shown.resize(cut);
      return shown + "...";
    }
    shown += blank ? " " : "";
    AppendUtf8(code, &shown);
    characters += more;
    blank = false;
    if (characters + 3 <= most) {
      cut = shown.size();
    }
  }
  return shown;
}

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string ShownSize(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {" bytes", " kB", " MB", " GB", " TB", " PB"};
  if (bytes < 1024) {
    return std::to_string(bytes) + kUnits[0];
  }
  size_t unit = 0;
  uint64_t tenths = bytes;
  while (unit + 1 < kUnits.size() && tenths >= 1024 * (unit == 0 ? 1 : 10)) {
    // Rounded once, in the last step, as far as it matters: the others drop less than a tenth.
    tenths = unit == 0 ? tenths / 1024 * 10 + tenths % 1024 * 10 / 1024 : tenths / 1024;
    ++unit;
  }
  const std::string whole = std::to_string(tenths / 10);
  return tenths < 1000 ? whole + "." + std::to_string(tenths % 10) + kUnits[unit]
                       : whole + kUnits[unit];
}

}  // namespace hosting

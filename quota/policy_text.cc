#include "quota/policy_text.h"

#include <algorithm>
#include <numeric>

namespace hosting {
namespace {

constexpr uint32_t kMaxColumns = 1 << 16;  // characters are counted up to here, bytes after it

bool IsContinuation(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) == 0x80;
}

// A log line must stay one line, and must not steer a terminal.
std::string Shown(std::string_view text) {
  std::string shown;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const size_t length = std::max<size_t>(1, Utf8Length(p, end));
    const std::string_view character(p, length);
    shown += IsPrintable(character) ? character : "?";
    p += length;
  }
  return shown;
}

// Insertions, deletions and changes that make one of the other.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

void Problems::Add(Line line, uint32_t offset, std::string_view text) {
  if (full()) {
    ++more_;
    return;
  }
  Problem problem{line, 0, Shown(text)};
  if (line != 0) {
    const std::string_view before = text_.substr(0, offset);
    const size_t newline = before.rfind('\n');
    const std::string_view same_line =
        newline == std::string_view::npos ? before : before.substr(newline + 1);
    const std::string_view counted = same_line.substr(0, kMaxColumns);
    problem.column = static_cast<uint32_t>(
        1 + same_line.size() -
        static_cast<size_t>(std::count_if(counted.begin(), counted.end(), IsContinuation)));
  }
  problems_.push_back(std::move(problem));
}

std::vector<Problem> Problems::Take() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    return a.line != b.line ? a.line < b.line : a.column < b.column;
  });
  if (more_ != 0) {
    problems_.push_back({0, 0, "and " + std::to_string(more_) + " more problems"});
  }
  more_ = 0;
  return std::move(problems_);
}

// Length of the UTF-8 sequence at p; 0: it is none.
size_t Utf8Length(const char* p, const char* end) {
  const auto byte = [&](size_t i) -> uint32_t { return static_cast<uint8_t>(p[i]); };
  const uint32_t lead = byte(0);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xc2 ? 0
                        : lead < 0xe0 ? 2
                        : lead < 0xf0 ? 3
                        : lead < 0xf5 ? 4
                                      : 0;
  if (length == 0 || length > static_cast<size_t>(end - p)) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(p[i])) {
      return 0;
    }
  }
  if (length == 3 && ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f))) {
    return 0;  // overlong, or half of a surrogate pair
  }
  if (length == 4 && ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f))) {
    return 0;
  }
  return length;
}

void AppendUtf8(uint32_t code, std::string* to) {
  const auto put = [&](uint32_t byte) { to->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

bool IsPrintable(std::string_view text) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const size_t length = Utf8Length(p, end);
    const auto c = static_cast<uint8_t>(*p);
    if (length == 0 || c < 0x20 || c == 0x7f || (c == 0xc2 && static_cast<uint8_t>(p[1]) < 0xa0)) {
      return false;
    }
    p += length;
  }
  return true;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return lower;
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 80;
  return "\"" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "...\"" : "\"");
}

std::string_view Nearest(std::string_view text, const std::vector<std::string_view>& candidates) {
  constexpr size_t kLongest = 64;
  if (text.size() > kLongest) {
    return {};
  }
  std::string_view nearest;
  size_t least = 1 + std::min<size_t>(3, text.size() / 3 + 1);
  for (const std::string_view candidate : candidates) {
    const size_t distance = candidate.size() > kLongest ? least : Distance(text, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace hosting

#include "quota/size.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace hosting {
namespace {

constexpr std::string_view kLetters = "KMGTP";  // each 1,024 times the one before

std::string Letter(size_t at) {
  return at == 0 ? "k" : std::string(1, kLetters[at]);  // as it is usually written
}

struct Unit {
  std::string_view name;  // as written by FormatDuration
  std::string_view short_name;
  std::string_view long_name;
  uint32_t seconds;
};
constexpr std::array<Unit, 5> kUnits = {{{"week", "w", "wk", 604800},
                                         {"day", "d", "day", 86400},
                                         {"hour", "h", "hr", 3600},
                                         {"min", "min", "minute", 60},
                                         {"sec", "s", "second", 1}}};

Status ExpectedSize() {
  return {Code::kInvalid,
          "expected a size in bytes, such as \"10G\", \"512M\" or \"100k\" (G = 2^30)"};
}

Status ExpectedDuration() {
  return {Code::kInvalid,
          "expected a time with its unit, such as \"2 days\", \"90 min\" or \"1 hour\""};
}

// A number, blanks, and what follows.
struct Amount {
  uint64_t number;
  std::string_view unit;
};
bool Split(std::string_view text, Amount* amount) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount->number);
  if (error != std::errc()) {
    return false;
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  const size_t blanks = text.find_first_not_of(' ');
  if (blanks == std::string_view::npos && !text.empty()) {
    return false;  // blanks at the end
  }
  amount->unit = text.substr(text.empty() ? 0 : blanks);
  return true;
}

bool Is(std::string_view text, std::string_view unit) {
  return text == unit || (text.size() == unit.size() + 1 && text.back() == 's' &&
                          text.substr(0, unit.size()) == unit);
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  Amount amount{};
  if (!Split(text, &amount) || amount.unit.size() > 1) {
    return ExpectedSize();
  }
  unsigned shift = 0;
  if (!amount.unit.empty()) {
    const char letter = amount.unit[0];
    const size_t at = kLetters.find(letter >= 'a' ? static_cast<char>(letter - 'a' + 'A') : letter);
    if (at == std::string_view::npos) {
      return ExpectedSize();
    }
    shift = 10 * (static_cast<unsigned>(at) + 1);
  }
  if (amount.number > kMaxSize >> shift) {
    return Status(Code::kInvalid, "expected a size of at most " + FormatSize(kMaxSize));
  }
  return amount.number << shift;
}

Result<uint64_t> ParseLimit(std::string_view text) {
  if (text == "none") {
    return uint64_t{0};
  }
  auto size = ParseSize(text);
  if (!size.ok() || *size == 0) {
    return Status(Code::kInvalid, size.ok()
                                      ? "expected a size above 0, or \"none\" for no limit"
                                      : size.status().message() + ", or \"none\" for no limit");
  }
  return size;
}

std::string FormatSize(uint64_t bytes) {
  size_t letter = 0;
  while (letter < kLetters.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++letter;
  }
  std::string text = std::to_string(bytes);
  return letter == 0 ? text : text + Letter(letter - 1);
}

Result<uint32_t> ParseDuration(std::string_view text) {
  Amount amount{};
  if (!Split(text, &amount)) {
    return ExpectedDuration();
  }
  for (const Unit& unit : kUnits) {
    if (amount.unit == unit.short_name || Is(amount.unit, unit.name) ||
        Is(amount.unit, unit.long_name)) {
      if (amount.number > kMaxDuration / unit.seconds) {
        return Status(Code::kInvalid, "expected a time of at most ten years");
      }
      return static_cast<uint32_t>(amount.number) * unit.seconds;
    }
  }
  return ExpectedDuration();
}

std::string FormatDuration(uint32_t seconds) {
  const Unit* unit = &kUnits.back();
  for (const Unit& larger : kUnits) {
    if (seconds != 0 && seconds % larger.seconds == 0) {
      unit = &larger;
      break;
    }
  }
  const uint32_t number = seconds / unit->seconds;
  const bool plural = number != 1 && unit->name != "min" && unit->name != "sec";
  return std::to_string(number) + " " + std::string(unit->name) + (plural ? "s" : "");
}

}  // namespace hosting

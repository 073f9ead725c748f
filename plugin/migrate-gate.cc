#include "plugin/migrate-gate.h"

#include <array>
#include <charconv>
#include <vector>

namespace lbox::migrate {
namespace {

constexpr std::string_view kMagic = "lbox-migrate-1";
constexpr std::array<std::string_view, 3> kStates = {"copying", "closed", "moved"};
constexpr std::string_view kNone = "-";

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = text.find(' ');
    if (end != 0) {
      words.push_back(text.substr(0, end));
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return words;
}

std::string OrNone(const std::string& text) {
  return text.empty() ? std::string(kNone) : text;
}

std::string FromNone(std::string_view text) {
  return text == kNone ? std::string() : std::string(text);
}

}  // namespace

std::string Gate::Encode() const {
  std::string text(kMagic);
  text += " ";
  text += kStates[static_cast<size_t>(state)];
  text += " " + std::to_string(until) + " " + OrNone(token) + " " + OrNone(driver);
  text.resize(kGateSize - 1, ' ');
  return text + "\n";
}

std::optional<Gate> Gate::Decode(std::string_view text) {
  if (text.size() != kGateSize || text.back() != '\n') {
    return std::nullopt;
  }
  text.remove_suffix(1);
  const auto words = Words(text);
  if (words.size() != 5 || words[0] != kMagic) {
    return std::nullopt;
  }
  Gate gate;
  size_t state = 0;
  while (state < kStates.size() && kStates[state] != words[1]) {
    ++state;
  }
  const std::string_view time = words[2];
  const auto read = std::from_chars(time.data(), time.data() + time.size(), gate.until);
  if (state == kStates.size() || read.ec != std::errc() || read.ptr != time.data() + time.size()) {
    return std::nullopt;
  }
  gate.state = static_cast<State>(state);
  gate.token = FromNone(words[3]);
  gate.driver = FromNone(words[4]);
  return gate;
}

Gate::Answer Gate::Ask(std::string_view driver_of_user, int64_t now) const {
  // A time that is further ahead than any migration sets it: a clock has been changed.
  switch (state) {
    case State::kClosed:
      return now < until && until <= now + kMaxClosedSeconds ? Answer::kRefuse
                                                             : Answer::kEnterLocked;
    case State::kMoved:
      return now < until && until <= now + kMovedSeconds && driver != driver_of_user
                 ? Answer::kRefuse
                 : Answer::kEnter;
    case State::kCopying:
      break;
  }
  return Answer::kEnterLocked;
}

}  // namespace lbox::migrate

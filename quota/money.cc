#include "quota/money.h"

#include <algorithm>

namespace hosting {
namespace {

constexpr uint64_t kOne = 1'000'000;  // micros_ of one unit of the currency
constexpr size_t kDecimals = 6, kDigits = 12;

bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

uint64_t Number(std::string_view digits) {
  uint64_t number = 0;
  for (const char c : digits) {
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

}  // namespace

Result<Money> Money::Parse(std::string_view text) {
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view part =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (whole.empty() || whole.size() > kDigits || part.size() > kDecimals ||
      (point != std::string_view::npos && part.empty()) || !AllDigits(whole) || !AllDigits(part)) {
    return Status(Code::kInvalid,
                  "expected an amount such as \"20.00\": at most 12 digits, a point, at most 6 "
                  "decimals");
  }
  Money money;
  money.micros_ =
      Number(whole) * kOne + Number(std::string(part) + std::string(6 - part.size(), '0'));
  money.decimals_ = static_cast<uint8_t>(std::max<size_t>(2, part.size()));
  return money;
}

std::string Money::Format() const {
  std::string part = std::to_string(micros_ % kOne);
  part.insert(0, kDecimals - part.size(), '0');
  part.resize(decimals_);
  return std::to_string(micros_ / kOne) + "." + part;
}

Result<Money> Money::Times(uint64_t units) const {
  Money product = *this;
  if (__builtin_mul_overflow(micros_, units, &product.micros_)) {
    return Status(Code::kInvalid, Format() + " times " + std::to_string(units) + " is too much");
  }
  return product;
}

}  // namespace hosting

// Money: an exact decimal amount, of a currency that is kept elsewhere.
//
// Purpose: prices and invoices without binary fractions. Ownership: a value. Process and crash
// rules: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quota/status.h"

namespace hosting {

class Money {
 public:
  Money() = default;
  // "20", "20.00", "0.0005": digits, at most one point, at most 6 decimals, below 10^12. kInvalid
  // otherwise.
  static Result<Money> Parse(std::string_view text);

  // With as many decimals as what was parsed had, and at least 2; Parse reads it as the same.
  [[nodiscard]] std::string Format() const;
  // kInvalid when the product does not fit (above 1.8 * 10^13).
  [[nodiscard]] Result<Money> Times(uint64_t units) const;

  // As amounts of one currency.
  [[nodiscard]] bool Below(const Money& other) const { return micros_ < other.micros_; }

  friend bool operator==(const Money&, const Money&) = default;

 private:
  uint64_t micros_ = 0;  // millionths
  uint8_t decimals_ = 2;
};

}  // namespace hosting

// Texts of the policy file: UTF-8, names that are fit to be shown, and what is wrong in a text.
//
// Purpose: shared by the parts that read the file. Ownership: values; Problems looks at the text,
// which must outlive it. Process and crash rules: none; no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quota/policy.h"

namespace hosting {

constexpr size_t kMaxProblems = 100;

// One thing that is wrong in a policy file. Line and column count from 1; column in characters; 0:
// the file as a whole.
struct Problem {
  Line line = 0;
  uint32_t column = 0;
  std::string text;  // "expected ..."
};

// Collects problems of one text. Those past kMaxProblems are counted in one last line.
class Problems {
 public:
  explicit Problems(std::string_view text) : text_(text) {}

  // Characters that do not belong into a log are shown as "?".
  void Add(Line line, uint32_t offset, std::string_view text);
  [[nodiscard]] bool empty() const { return problems_.empty(); }
  // Nothing more is kept: a text need not be made.
  [[nodiscard]] bool full() const { return problems_.size() == kMaxProblems; }
  // In the order of the file; leaves nothing here.
  std::vector<Problem> Take();

 private:
  std::string_view text_;
  std::vector<Problem> problems_;
  uint64_t more_ = 0;
};

// Length in bytes (1 to 4) of the UTF-8 sequence at p, p < end; 0: it is none.
size_t Utf8Length(const char* p, const char* end);
void AppendUtf8(uint32_t code, std::string* to);
// Whether the text is UTF-8 and has none of the characters U+0000-001F and U+007F-009F.
bool IsPrintable(std::string_view text);
// ASCII letters only, as domains are compared.
std::string LowerCase(std::string_view text);
// In double quotes, at most 80 bytes of it.
std::string Quoted(std::string_view text);
// The candidate that `text` was most probably meant to be; empty: none is near enough.
std::string_view Nearest(std::string_view text, const std::vector<std::string_view>& candidates);

}  // namespace hosting

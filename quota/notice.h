// Mail that tells a customer what is about to happen to their mail.
//
// Purpose: texts from templates, and the whole message. Process and crash rules: none, no I/O.
// Failure modes: none; what would not be printable is left out of values, so that the name of a
// folder cannot bring a header line or a line of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hosting {

using TemplateValues = std::vector<std::pair<std::string_view, std::string>>;

// Puts values in place of {name}. Of values, control characters and what is no UTF-8 become '?'.
// A {name} that is not among them stays as it is.
std::string FillTemplate(std::string_view text, const TemplateValues& values);

struct Notice {
  std::string from, to;  // addresses
  std::string subject;   // one line, UTF-8
  std::string text;      // lines of UTF-8
  std::string date;      // as in a Date: header
  std::string id;        // of the message, without angle brackets
};

// RFC 5322, lines end in CRLF; Auto-Submitted: auto-generated (RFC 3834), so that nobody replies by
// itself.
std::string MessageOf(const Notice& notice);

// Templates where the policy gives none. Values: {user}, {package}, {days}, {date}, {count},
// {folders}.
extern const std::string_view kRetentionSubject, kRetentionText;
extern const std::string_view kPop3RemovesSubject, kPop3RemovesText;  // {user}, {count}
// What {folders} becomes where there are any. Value: {list}.
extern const std::string_view kFoldersText;

}  // namespace hosting

// What users are told about the protocols of their package: templates with values.
//
// Purpose: texts go into answers of IMAP, POP3, ManageSieve, SMTP and SASL, so they are one line of
// printable ASCII whatever the values are: nothing in a name can begin another answer or attribute.
// Ownership: values. Process and crash rules: none; no I/O.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hosting {

constexpr size_t kMaxProtocolText = 200;  // octets, once filled in
constexpr size_t kMaxTemplate = 400;      // octets of a template

// Values of a template, by name: {"package", "pop-s"} is put where it says {package}.
using TextValues = std::span<const std::pair<std::string_view, std::string_view>>;

// What is wrong with a template ("" when nothing is), as in "expected printable ASCII ...". `names`
// are those that it may use. *at_r: the offset of it in the template.
std::string CheckTemplate(std::string_view text, std::span<const std::string_view> names,
                          size_t* at_r);
// The names that a template uses, each once.
std::vector<std::string> NamesIn(std::string_view text);
// The template with its values. Characters of values that are no printable ASCII become "?",
// control characters are dropped; "[" at the beginning becomes "(", since it would begin a response
// code; what is longer than kMaxProtocolText ends in "...". A name without a value is left out.
std::string FillTemplate(std::string_view text, TextValues values);

}  // namespace hosting

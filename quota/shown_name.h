// Names that others have chosen (folders, users, accounts), made fit to be shown.
//
// Purpose: nothing in a name can begin a line, a header or a tag, or turn the order of the text
// around it. Ownership: values. Process and crash rules: none; no I/O, any bytes are taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hosting {

constexpr size_t kMaxShownName = 64;  // characters; longer ones end in "..."

// UTF-8 without control characters, bidirectional controls, line separators and invisible
// characters; blanks are single spaces. What is no UTF-8 becomes "?". Never longer than `most`
// characters, and four times as many bytes.
std::string ShownName(std::string_view name, size_t most = kMaxShownName);
// For text and attribute values in double quotes.
std::string EscapeHtml(std::string_view text);
// For people: "1.2 GB", "640 kB", "12 bytes"; G is 2^30.
std::string ShownSize(uint64_t bytes);

}  // namespace hosting

// Texts of customers in operators' tables: on a terminal, in a spreadsheet.
//
// Purpose: whatever a name is, a terminal shows it in its cell and a spreadsheet takes it for text.
// Ownership: values. Process and crash rules: none. Failure modes: none.
#pragma once

#include <string>
#include <string_view>

namespace hosting {

// Valid UTF-8 without control characters and without those that turn the direction of writing or
// join and hide (U+061C, U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF): each such
// character, and each byte that is no UTF-8, is a question mark.
std::string CellText(std::string_view text);

// RFC 4180, quoted. What a spreadsheet would take for a formula (= + - @, tab or CR first) begins
// with an apostrophe.
std::string CsvCell(std::string_view text);

}  // namespace hosting

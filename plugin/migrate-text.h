// Small texts of `doveadm lbox migrate`: rows of fields, as Dovecot's str_tabescape() writes them.
//
// Ownership: values. No I/O, cannot fail; no Dovecot header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lbox::migrate {

std::string JoinFields(const std::vector<std::string>& fields);
std::vector<std::string> SplitFields(std::string_view line);
// The whole text in decimal.
std::optional<uint64_t> ToNumber(std::string_view text);
// Last line of what a program said, without spaces around it.
std::string LastLine(std::string_view text);
// "12.3 MiB"
std::string ShownBytes(uint64_t bytes);
// "1:02:03" or "2:03"
std::string ShownSeconds(int64_t seconds);

}  // namespace lbox::migrate

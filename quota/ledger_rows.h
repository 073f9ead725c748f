// The bytes of ledger_lmdb's rows and keys (docs/ledger.md, "Rows").
//
// Purpose: keys that sort by account, kind and name, and values that carry an XXH3-64 over key and
// value, so that a row is never taken for another one's or for whole when it is not. Ownership:
// values. Process rules: none. Failure modes: kCorruption for what these functions would not write.
// Crash rule: none here.
#pragma once

#include <string>
#include <string_view>

#include "quota/ledger.h"

namespace hosting {

// kInvalid: an account of no or too many bytes or with a NUL, a name of no or too many bytes.
Result<std::string> SourceKey(std::string_view account, SourceKind kind, std::string_view name);
// What the keys of an account begin with, and those of one kind.
std::string SourcePrefix(std::string_view account);
std::string SourcePrefix(std::string_view account, SourceKind kind);
// The account that a key of a source names; empty when the key is none.
std::string_view AccountOfKey(std::string_view key);

std::string EncodeSource(std::string_view key, std::string_view name, const SourceRow& row);
// Sets id too: the key alone may hold a part of a long name.
Status DecodeSource(std::string_view key, std::string_view value, SourceId& id, SourceRow& row);

std::string EncodeTotals(std::string_view account, const AccountTotals& totals);
Result<AccountTotals> DecodeTotals(std::string_view account, std::string_view value);

std::string EncodeValue(std::string_view key, std::string_view value);
Result<std::string> DecodeValue(std::string_view key, std::string_view bytes);

// For messages and logs: printable ASCII, anything else as \xNN.
std::string Printable(std::string_view text);

}  // namespace hosting

#include "quota/ledger_rows.h"

#include <algorithm>
#include <cstring>

#include <xxhash.h>

#include "quota/bytes.h"

namespace hosting {
namespace {

constexpr size_t kMaxKeyBytes = 500;  // LMDB takes 511
constexpr size_t kHashBytes = 16;
constexpr size_t kCheckBytes = 8;
constexpr uint8_t kFormat = 1;
constexpr size_t kInstanceBytes = sizeof(SourceRow::instance);

enum Flag : uint8_t { kRecount = 1, kUnsure = 2, kHint = 4, kAllFlags = 7 };

std::string Seal(std::string_view key, ByteWriter& row) {
  XXH3_state_t* const state = XXH3_createState();
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, key.data(), key.size());
  XXH3_64bits_update(state, row.bytes().data(), row.bytes().size());
  row.Number<uint64_t>(XXH3_64bits_digest(state));
  XXH3_freeState(state);
  return row.Take();
}

// The bytes before the check, when it holds.
bool Unseal(std::string_view key, std::string_view bytes, std::string_view& row) {
  if (bytes.size() < kCheckBytes) {
    return false;
  }
  ByteWriter again;
  row = bytes.substr(0, bytes.size() - kCheckBytes);
  again.Bytes(row);
  return Seal(key, again) == bytes;
}

std::string LongNamesTail(std::string_view name) {
  const XXH128_hash_t hash = XXH3_128bits(name.data(), name.size());
  ByteWriter bytes;
  bytes.Number<uint64_t>(hash.low64);
  bytes.Number<uint64_t>(hash.high64);
  return bytes.Take();
}

Status Damaged(const std::string& what) {
  return Status(Code::kCorruption, what + " of the ledger is damaged (checksum)");
}

}  // namespace

std::string Printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string printable;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      printable += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      printable += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return printable;
}

std::string SourcePrefix(std::string_view account) {
  return std::string(account) + '\0';
}

std::string SourcePrefix(std::string_view account, SourceKind kind) {
  return SourcePrefix(account) + static_cast<char>(kind);
}

Result<std::string> SourceKey(std::string_view account, SourceKind kind, std::string_view name) {
  if (account.empty() || account.size() > kMaxAccountBytes ||
      account.find('\0') != std::string_view::npos) {
    return Status(Code::kInvalid,
                  "an account's name has 1 to 255 bytes: \"" + Printable(account) + "\"");
  }
  if (name.empty() || name.size() > kMaxSourceNameBytes) {
    return Status(Code::kInvalid,
                  "a source's name has 1 to 4096 bytes: \"" + Printable(name) + "\"");
  }
  std::string key = SourcePrefix(account, kind);
  const size_t room = kMaxKeyBytes - key.size();
  if (name.size() <= room) {
    key += name;
  } else {
    key += name.substr(0, room - kHashBytes);
    key += LongNamesTail(name);
  }
  return key;
}

std::string_view AccountOfKey(std::string_view key) {
  const size_t end = key.find('\0');
  return end == std::string_view::npos ? std::string_view() : key.substr(0, end);
}

std::string EncodeSource(std::string_view key, std::string_view name, const SourceRow& row) {
  const std::string problem = row.problem.substr(0, kMaxProblemBytes);
  ByteWriter out;
  out.Number<uint8_t>(kFormat);
  out.Number<uint8_t>((row.recount ? kRecount : 0) | (row.unsure ? kUnsure : 0) |
                      (row.hint ? kHint : 0));
  out.Number<uint16_t>(name.size());
  out.Number<uint16_t>(problem.size());
  out.Number<uint16_t>(0);
  out.Number<uint32_t>(row.open);
  out.Number<uint32_t>(row.partial);
  out.Number<uint64_t>(row.bytes);
  out.Number<uint64_t>(row.messages);
  out.Number<uint64_t>(row.disk);
  out.Number<uint64_t>(row.counter);
  out.Number<int64_t>(row.at);
  out.Number<int64_t>(row.counted_at);
  out.Bytes({reinterpret_cast<const char*>(row.instance), kInstanceBytes});
  out.Bytes(name);
  out.Bytes(problem);
  return Seal(key, out);
}

Status DecodeSource(std::string_view key, std::string_view value, SourceId& id, SourceRow& row) {
  std::string_view bytes;
  const std::string what = "source \"" + Printable(key) + "\"";
  if (!Unseal(key, value, bytes)) {
    return Damaged(what);
  }
  ByteReader in(bytes);
  const auto format = in.Number<uint8_t>();
  if (format > kFormat) {
    return Status(Code::kUnsupported, what + " of the ledger has a newer format");
  }
  const auto flags = in.Number<uint8_t>();
  const auto name_bytes = in.Number<uint16_t>();
  const auto problem_bytes = in.Number<uint16_t>();
  const auto unused = in.Number<uint16_t>();
  row.recount = (flags & kRecount) != 0;
  row.unsure = (flags & kUnsure) != 0;
  row.hint = (flags & kHint) != 0;
  row.open = in.Number<uint32_t>();
  row.partial = in.Number<uint32_t>();
  row.bytes = in.Number<uint64_t>();
  row.messages = in.Number<uint64_t>();
  row.disk = in.Number<uint64_t>();
  row.counter = in.Number<uint64_t>();
  row.at = in.Number<int64_t>();
  row.counted_at = in.Number<int64_t>();
  const std::string_view instance = in.Bytes(kInstanceBytes);
  const std::string_view name = in.Bytes(name_bytes);
  row.problem = in.Bytes(problem_bytes);
  if (!in.done() || format != kFormat || (flags & ~kAllFlags) != 0 || unused != 0) {
    return Damaged(what);
  }
  std::copy(instance.begin(), instance.end(), reinterpret_cast<char*>(row.instance));
  id.account = AccountOfKey(key);
  const auto kind = static_cast<uint8_t>(key.substr(id.account.size() + 1, 1).front());
  id.kind = static_cast<SourceKind>(kind);
  id.name = name;
  const auto again = SourceKey(id.account, id.kind, id.name);
  if (kind < 1 || kind > 3 || !again.ok() || *again != key) {
    return Damaged(what);
  }
  return {};
}

std::string EncodeTotals(std::string_view account, const AccountTotals& totals) {
  ByteWriter out;
  out.Number<uint8_t>(kFormat);
  out.Number<uint32_t>(totals.sources);
  out.Number<uint32_t>(totals.recounts);
  out.Number<uint32_t>(totals.unsure);
  out.Number<uint64_t>(totals.mail);
  out.Number<uint64_t>(totals.web);
  out.Number<uint64_t>(totals.external);
  out.Number<uint64_t>(totals.messages);
  out.Number<uint64_t>(totals.disk);
  return Seal(account, out);
}

Result<AccountTotals> DecodeTotals(std::string_view account, std::string_view value) {
  const std::string what = "the totals row of account \"" + Printable(account) + "\"";
  std::string_view bytes;
  if (!Unseal(account, value, bytes)) {
    return Damaged(what);
  }
  ByteReader in(bytes);
  const auto format = in.Number<uint8_t>();
  AccountTotals totals;
  totals.sources = in.Number<uint32_t>();
  totals.recounts = in.Number<uint32_t>();
  totals.unsure = in.Number<uint32_t>();
  totals.mail = in.Number<uint64_t>();
  totals.web = in.Number<uint64_t>();
  totals.external = in.Number<uint64_t>();
  totals.messages = in.Number<uint64_t>();
  totals.disk = in.Number<uint64_t>();
  if (format > kFormat) {
    return Status(Code::kUnsupported, what + " of the ledger has a newer format");
  }
  if (!in.done() || format != kFormat) {
    return Damaged(what);
  }
  return totals;
}

std::string EncodeValue(std::string_view key, std::string_view value) {
  ByteWriter out;
  out.Bytes(value);
  return Seal(key, out);
}

Result<std::string> DecodeValue(std::string_view key, std::string_view bytes) {
  std::string_view value;
  if (!Unseal(key, bytes, value)) {
    return Damaged("value \"" + Printable(key) + "\"");
  }
  return std::string(value);
}

}  // namespace hosting

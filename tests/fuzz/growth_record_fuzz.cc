// Records of growth history, of which a damaged disk may give anything.
#include "quota/growth_record.h"

#include "tests/fuzz/fuzz_target.h"

namespace lbox::fuzz {

std::vector<std::string> Seeds() {
  hosting::GrowthRecord record;
  record.key = hosting::GrowthKey("example.com");
  record.hour = 498000;
  record.mail = 1 << 30;
  record.web = 5;
  record.delivered = 1ULL << 47;
  record.removed_pop3 = 7;
  const hosting::GrowthSource source{1, 20000, 1ULL << 60};
  return {hosting::Encode(record), hosting::Encode(source),
          hosting::Encode(hosting::GrowthRecord())};
}

}  // namespace lbox::fuzz

namespace {

// With a checksum that holds: that of what Encode would make of the same bytes.
template <typename Record>
std::string Repaired(const std::string& bytes, std::optional<Record> (*decode)(std::string_view)) {
  std::string good = bytes;
  for (size_t i = 0; i < 4; ++i) {
    good[good.size() - 4 + i] = 0;
  }
  const uint64_t sum = hosting::GrowthChecksum(good);
  for (size_t i = 0; i < 4; ++i) {
    good[good.size() - 4 + i] = static_cast<char>(static_cast<uint8_t>(sum >> (8 * i)));
  }
  const auto record = decode(good);
  lbox::fuzz::Require(record.has_value(), "a whole record is refused");
  lbox::fuzz::reached++;
  lbox::fuzz::Require(hosting::Encode(*record) == good, "it is written as something else");
  return good;
}

// One changed bit is seen.
template <typename Record>
void RefusesChanged(std::string bytes, size_t bit,
                    std::optional<Record> (*decode)(std::string_view)) {
  bit %= bytes.size() * 8;
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  lbox::fuzz::Require(!decode(bytes), "a changed record is taken");
}

template <typename Record>
void Try(const std::string& bytes, size_t size, std::optional<Record> (*decode)(std::string_view)) {
  (void)decode(bytes);
  if (bytes.size() < size) {
    lbox::fuzz::Require(!decode(bytes), "a torn record is taken");
    return;
  }
  const size_t bit = static_cast<uint8_t>(bytes.back()) * 251U + bytes.size();
  RefusesChanged(Repaired(bytes.substr(0, size), decode), bit, decode);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes, hosting::kGrowthRecordBytes, hosting::DecodeGrowthRecord);
  Try(bytes, hosting::kGrowthSourceBytes, hosting::DecodeGrowthSource);
  return 0;
}

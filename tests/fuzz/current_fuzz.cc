// CURRENT, which has no checksum, and the header of a large body, whose hash is repaired.
#include "storage/current_file.h"

#include "storage/checksum.h"
#include "storage/coding.h"
#include "storage/pack_record.h"
#include "tests/fuzz/fuzz_target.h"

namespace lbox::fuzz {
namespace {

constexpr size_t kLargeHashAt = 56;

void TryCurrent(const std::string& text) {
  const auto current = DecodeCurrent(text, "CURRENT");
  if (current.ok()) {
    reached++;
    const auto again = DecodeCurrent(EncodeCurrent(*current), "CURRENT");
    Require(again.ok() && again->generation == current->generation && again->uuid == current->uuid,
            "CURRENT changes");
  }
}

void TryLarge(const std::string& bytes) {
  const auto header = DecodeLargeHeader(Bytes(bytes));
  if (header.ok()) {
    reached++;
    Require(bytes.starts_with(EncodeLargeHeader(*header)),
            "a header is accepted that is not written so");
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  return {EncodeCurrent({12, {}}), EncodeLargeHeader({5, 200'000, 99})};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  TryCurrent(bytes);
  TryLarge(bytes);
  bytes.resize(lbox::kLargeHeaderBytes);
  lbox::StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + kLargeHashAt,
                    lbox::Hash64(Bytes(bytes).first(kLargeHashAt)));
  TryLarge(bytes);
  return 0;
}

#include "storage/types.h"

namespace lbox {

std::string ToHex(const Guid& guid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * guid.bytes.size());
  for (uint8_t byte : guid.bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace lbox

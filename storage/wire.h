// Values as bytes between a process and its child. Not on disk, so without version or checksum.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "storage/types.h"

namespace lbox {

class WireWriter {
 public:
  void Number(uint64_t value) { Raw(&value, sizeof(value)); }
  void Id(const Guid& guid) { Raw(guid.bytes.data(), guid.bytes.size()); }
  void Text(std::string_view text) {
    Number(text.size());
    Raw(text.data(), text.size());
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void Raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  std::string bytes_;
};

// Reads what a WireWriter has written, in the same order. What is not there is zero.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  uint64_t Number() {
    uint64_t value = 0;
    Raw(&value, sizeof(value));
    return value;
  }
  Guid Id() {
    Guid guid;
    Raw(guid.bytes.data(), guid.bytes.size());
    return guid;
  }
  std::string Text() {
    const uint64_t size = Number();
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(text.size());
    return text;
  }

 private:
  void Raw(void* data, size_t size) {
    if (bytes_.size() >= size) {
      memcpy(data, bytes_.data(), size);
      bytes_.remove_prefix(size);
    }
  }
  std::string_view bytes_;
};

}  // namespace lbox

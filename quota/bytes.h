// Little-endian numbers at the end of a string, and from the front of a view; XXH3-64 in the same
// form. What quota/ writes to disk by hand is made of these. No I/O; reading past the end is
// reported by ok(), never done.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hosting {

// `size` bytes, 8 at most.
inline void PutNumber(std::string& to, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    to += static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
  }
}

// `at` and `size` must be within `from`.
inline uint64_t NumberAt(std::string_view from, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value |= uint64_t{static_cast<uint8_t>(from[at + i])} << (8 * i);
  }
  return value;
}

class ByteWriter {
 public:
  template <typename T>
  void Number(T value) {
    PutNumber(bytes_, static_cast<uint64_t>(value), sizeof(T));
  }
  void Bytes(std::string_view bytes) { bytes_ += bytes; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : left_(bytes) {}

  template <typename T>
  T Number() {
    const std::string_view bytes = Bytes(sizeof(T));
    return static_cast<T>(NumberAt(bytes, 0, bytes.size()));
  }
  std::string_view Bytes(size_t size) {
    if (size > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && left_.empty(); }
  [[nodiscard]] size_t left() const { return left_.size(); }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace hosting

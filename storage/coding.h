// Bytes <-> integers, little-endian (and big-endian for what LMDB sorts): the one place where byte
// order is written out.
//
// Encoder fills a fixed buffer from its start, Decoder reads one; neither checks bounds beyond
// assert, since every struct on disk has a fixed size that its codec has compared before. No I/O;
// cannot fail.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/types.h"

namespace lbox {

template <typename T>
void StoreLittle(uint8_t* to, T value) {
  for (size_t i = 0; i < sizeof(T); i++) {
    to[i] = static_cast<uint8_t>(value >> (8 * i));
  }
}

template <typename T>
T LoadLittle(const uint8_t* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); i++) {
    value = static_cast<T>(value | (static_cast<T>(from[i]) << (8 * i)));
  }
  return value;
}

template <typename T>
void StoreBig(uint8_t* to, T value) {
  for (size_t i = 0; i < sizeof(T); i++) {
    to[i] = static_cast<uint8_t>(value >> (8 * (sizeof(T) - 1 - i)));
  }
}

template <typename T>
T LoadBig(const uint8_t* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); i++) {
    value = static_cast<T>(value | (static_cast<T>(from[i]) << (8 * (sizeof(T) - 1 - i))));
  }
  return value;
}

class Encoder {
 public:
  explicit Encoder(std::span<uint8_t> out) : out_(out) {}

  void U8(uint8_t value) { Take(1)[0] = value; }
  void U32(uint32_t value) { StoreLittle(Take(4), value); }
  void U64(uint64_t value) { StoreLittle(Take(8), value); }
  void I64(int64_t value) { U64(static_cast<uint64_t>(value)); }
  void BigU32(uint32_t value) { StoreBig(Take(4), value); }
  void Id(const Guid& guid) {
    uint8_t* to = Take(guid.bytes.size());
    for (uint8_t byte : guid.bytes) {
      *to++ = byte;
    }
  }
  void Zero(size_t size) {
    uint8_t* to = Take(size);
    for (size_t i = 0; i < size; i++) {
      to[i] = 0;
    }
  }
  [[nodiscard]] size_t position() const { return position_; }

 private:
  uint8_t* Take(size_t size) {
    assert(size <= out_.size() - position_);
    uint8_t* const to = out_.data() + position_;
    position_ += size;
    return to;
  }

  std::span<uint8_t> out_;
  size_t position_ = 0;
};

class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> in) : in_(in) {}

  uint8_t U8() { return Take(1)[0]; }
  uint32_t U32() { return LoadLittle<uint32_t>(Take(4)); }
  uint64_t U64() { return LoadLittle<uint64_t>(Take(8)); }
  int64_t I64() { return static_cast<int64_t>(U64()); }
  uint32_t BigU32() { return LoadBig<uint32_t>(Take(4)); }
  Guid Id() {
    Guid guid;
    const uint8_t* from = Take(guid.bytes.size());
    for (uint8_t& byte : guid.bytes) {
      byte = *from++;
    }
    return guid;
  }
  // False when one of the next `size` bytes is not zero.
  [[nodiscard]] bool Zero(size_t size) {
    const uint8_t* from = Take(size);
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
      any = static_cast<uint8_t>(any | from[i]);
    }
    return any == 0;
  }
  [[nodiscard]] size_t position() const { return position_; }

 private:
  const uint8_t* Take(size_t size) {
    assert(size <= in_.size() - position_);
    const uint8_t* const from = in_.data() + position_;
    position_ += size;
    return from;
  }

  std::span<const uint8_t> in_;
  size_t position_ = 0;
};

}  // namespace lbox

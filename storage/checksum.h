// XXH3-64, the one hash of everything that lbox writes: record headers, frames, rows.
//
// Chosen over crc32c because Debian packages it as a library of its own, and because it is as fast
// as memory and wide enough to stand for a body's content (docs/format.md). It guards against
// damage, not against an attacker. No I/O; cannot fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace lbox {

uint64_t Hash64(std::span<const uint8_t> data);
uint64_t Hash64(const void* data, size_t size);

// Low 32 bits of Hash64: what seals a row.
uint32_t Check32(std::span<const uint8_t> data);

// The same hash over data that comes in pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(const void* data, size_t size);
  // Of all data so far; more may follow.
  [[nodiscard]] uint64_t Digest() const;
  // Starts again from nothing.
  void Reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lbox

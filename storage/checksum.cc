#include "storage/checksum.h"

#define XXH_INLINE_ALL  // no library to be loaded with each mail process
#include <xxhash.h>

namespace lbox {

struct Hasher::State {
  XXH3_state_t xxh;
};

uint64_t Hash64(const void* data, size_t size) {
  return XXH3_64bits(data, size);
}

uint64_t Hash64(std::span<const uint8_t> data) {
  return Hash64(data.data(), data.size());
}

uint32_t Check32(std::span<const uint8_t> data) {
  return static_cast<uint32_t>(Hash64(data));
}

Hasher::Hasher() : state_(std::make_unique<State>()) {
  Reset();
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::Update(const void* data, size_t size) {
  if (size > 0) {
    XXH3_64bits_update(&state_->xxh, data, size);
  }
}

uint64_t Hasher::Digest() const {
  return XXH3_64bits_digest(&state_->xxh);
}

void Hasher::Reset() {
  XXH3_64bits_reset(&state_->xxh);
}

}  // namespace lbox

#include "quota/web_links.h"

#include <utility>

namespace hosting {
namespace {

constexpr size_t kFirstSlots = 1024;

// The finishing steps of SplitMix64: neighbouring inode numbers lie far apart.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

size_t SeenFiles::SlotOf(const FileId& id) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = Mix(id.inode + Mix(id.device)) & mask;
  while (slots_[slot].inode != 0 && slots_[slot] != id) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

void SeenFiles::Grow() {
  std::vector<FileId> old(slots_.empty() ? kFirstSlots : slots_.size() * 2);
  std::swap(old, slots_);
  for (const FileId& id : old) {
    if (id.inode != 0) {
      slots_[SlotOf(id)] = id;
    }
  }
}

SeenFiles::Answer SeenFiles::Insert(const FileId& id) {
  if (!slots_.empty() && slots_[SlotOf(id)].inode != 0) {
    return Answer::kSeen;
  }
  if (size_ >= limit_) {
    return Answer::kFull;
  }
  if ((size_ + 1) * 3 > slots_.size() * 2) {
    Grow();
  }
  slots_[SlotOf(id)] = id;
  ++size_;
  return Answer::kNew;
}

}  // namespace hosting

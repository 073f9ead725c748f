// A small store with everything in it that can be damaged, and what it must say when it says
// anything.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "storage/store.h"

namespace lbox::testing {

struct Expected {
  Guid mailbox;
  uint32_t uid = 0;
  Guid guid;
  uint8_t flags = 0;
  std::string text;
  bool removed = false;  // expunged again
};

// Makes the store, closed again, and tells what was saved to it: several mailboxes, two packs, dead
// records, a body that two messages share, large bodies, keywords and POP3 UIDLs. No text occurs in
// two stores of different `seed`.
std::vector<Expected> MakeDamageStore(const std::string& path, uint64_t seed);

// What came of asking a store for everything.
struct Readings {
  size_t right = 0;
  size_t refused = 0;  // an error that says so
  size_t missing = 0;  // "no such message": no wrong mail, but not true either
  size_t back = 0;     // removed, and there again
  std::vector<std::string> wrong;
};
size_t Present(const std::vector<Expected>& messages);  // not removed
Readings ReadEverything(Store& store, const std::vector<Expected>& messages);

// All files below a folder: relative path -> bytes.
using Files = std::map<std::string, std::string>;
Files Load(const std::string& folder);
// Makes the folder hold these files and no others.
void Restore(const std::string& folder, const Files& files);
// Writes over one byte in place.
void Poke(const std::string& path, size_t offset, char byte);

// Every how manieth place is tried: $LBOX_DAMAGE_STRIDE, or as given. 1: all of them.
size_t Stride(size_t usual);
// The place where the index's bytes begin to be tried: $LBOX_DAMAGE_FIRST, or 0.
size_t First();

}  // namespace lbox::testing

// What each fuzz target gives: the function that libFuzzer calls, and what it starts from.
//
// A target takes any bytes, repairs the checksums in them so that the decoder behind is reached,
// and fails (abort, sanitizer) when a decoder crashes, or accepts what it would not write that way.
// With clang (LBOX_FUZZ) libFuzzer drives it; everywhere else plain_fuzz_test.cc does, with the
// seeds and simple changes to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lbox::fuzz {

// Inputs that decoders accept, made anew in each run.
std::vector<std::string> Seeds();

// Inputs whose checksums held, so that a decoder took them apart.
inline uint64_t reached = 0;

inline std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline void Require(bool good, const char* what) {
  if (!good) {
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
  }
}

}  // namespace lbox::fuzz

// Writes the seeds of a fuzz target as files: a corpus for libFuzzer to start from.
#include <fstream>

#include "tests/fuzz/fuzz_target.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 64;
  }
  int number = 0;
  for (const std::string& seed : lbox::fuzz::Seeds()) {
    std::ofstream file(std::string(argv[1]) + "/seed" + std::to_string(number++), std::ios::binary);
    file << seed;
    if (!file.flush()) {
      return 1;
    }
  }
  return 0;
}

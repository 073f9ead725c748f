// How the files of a store are made: what packs, journal and quarantine share.
#pragma once

#include <cstdint>
#include <string>

namespace lbox {

class Env;

struct FileOptions {
  Env* env = nullptr;
  std::string folder;    // of the store
  uint32_t mode = 0600;  // of files
  int64_t gid = -1;      // -1: leave
  bool sync = true;      // false: nothing is flushed
};

}  // namespace lbox

// What several unit tests need: a folder that goes away, bytes to work on, the message corpus.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace lbox {

// A new folder, removed with all that is in it.
class TempDir {
 public:
  TempDir() {
    const char* base = getenv("TMPDIR");
    std::string name = std::string(base == nullptr ? "/tmp" : base) + "/lbox-unit-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      abort();
    }
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline size_t FilesIn(const std::string& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

inline std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void WriteWholeFile(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// The same numbers in every run (splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t end) { return Next() % end; }

 private:
  uint64_t state_;
};

inline std::string Incompressible(size_t size, uint64_t seed = 1) {
  Random random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) {
    c = static_cast<char>(random.Next());
  }
  return bytes;
}

// Lines of text that compress to about a quarter.
inline std::string Compressible(size_t size, std::string_view line_end = "\r\n") {
  Random random(7);
  std::string bytes;
  while (bytes.size() < size) {
    bytes += "line " + std::to_string(random.Below(100000)) + " of a long message";
    bytes += line_end;
  }
  bytes.resize(size);
  return bytes;
}

// Messages of the corpus, when there is one: $LBOX_CORPUS, or ../shared/corpus/public beside the
// project.
inline std::vector<std::string> CorpusFiles() {
  const char* given = getenv("LBOX_CORPUS");
  const std::filesystem::path folder =
      given != nullptr ? std::filesystem::path(given)
                       : std::filesystem::path(LBOX_SOURCE_DIR) / "../shared/corpus/public";
  std::vector<std::string> files;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    if (entry.path().extension() == ".eml") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace lbox

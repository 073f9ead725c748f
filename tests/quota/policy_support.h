// What the tests of the policy share: a system that is the same everywhere, and folders that go
// away.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "quota/policy_file.h"
#include "quota/policy_path.h"

namespace hosting {

// Users vmail (5000) and www-data (33), zones of two cities.
inline PolicyNames TestNames() {
  return {[](const std::string& user) -> std::optional<uint32_t> {
            return user == "vmail"      ? std::optional<uint32_t>(5000)
                   : user == "www-data" ? std::optional<uint32_t>(33)
                                        : std::nullopt;
          },
          [](const std::string& zone) {
            return zone == "Africa/Johannesburg" || zone == "Europe/Berlin" || zone == "UTC";
          }};
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* const base = getenv("TMPDIR");
    std::string name = std::string(base == nullptr ? "/tmp" : base) + "/hosting-policy-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      abort();
    }
    path_ = std::filesystem::canonical(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // A path in the folder.
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // The folder and what is above it are as the system has them.
  [[nodiscard]] PathRules rules() const { return {getuid(), path_}; }

 private:
  std::string path_;
};

inline void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::filesystem::permissions(path, static_cast<std::filesystem::perms>(0644));
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace hosting

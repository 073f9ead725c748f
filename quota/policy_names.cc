// PolicyNames::System: users and time zones of the machine.
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "quota/policy_file.h"

namespace hosting {
namespace {

constexpr const char* kZoneInfo = "/usr/share/zoneinfo/";

std::optional<uint32_t> UidOf(const std::string& name) {
  std::vector<char> buffer(1 << 16);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return std::nullopt;
  }
  return found->pw_uid;
}

// By the file alone: asking the time zone library would have it read its whole database first,
// which takes some 30 ms. The names are those that it has.
bool KnownZone(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '/';
  });
  // Copies with other rules about leap seconds, the machine's own zone under another name, and a
  // placeholder.
  for (const char* const other : {"posix/", "right/", "posixrules", "localtime", "Factory"}) {
    if (name.rfind(other, 0) == 0) {
      return false;
    }
  }
  if (!plain || name.empty() || name.size() > 100 || name[0] == '/') {
    return false;
  }
  const int file = open((kZoneInfo + name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) {
    return false;
  }
  std::array<char, 4> magic{};
  const bool good =
      read(file, magic.data(), magic.size()) == 4 && std::memcmp(magic.data(), "TZif", 4) == 0;
  close(file);
  return good;
}

}  // namespace

PolicyNames PolicyNames::System() {
  return {UidOf, KnownZone};
}

}  // namespace hosting

#include "storage/large_original.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <span>
#include <vector>

#include <unistd.h>

namespace lbox {
namespace {

constexpr size_t kCompareBytes = 64 * 1024;

struct Original {
  StagingOptions options;
  std::string path;
  LargeHeader header;
  uid_t uid = 0;
  std::set<std::string> given;  // l/ of each store that has it
};

// Never destroyed: stores may be closed by destructors that run at exit.
Original& Last() {
  static auto* last = new Original;
  return *last;
}

std::string NameIn(const std::string& large_directory, const std::string& path) {
  return large_directory + path.substr(path.rfind('/'));
}

bool SameBytes(File& a, File& b, uint64_t bytes) {
  std::vector<char> one(kCompareBytes), other(kCompareBytes);
  for (uint64_t at = 0; at < bytes;) {
    const size_t size = std::min<uint64_t>(kCompareBytes, bytes - at);
    const auto got = a.ReadAt(kLargeHeaderBytes + at, one.data(), size);
    const auto too = b.ReadAt(kLargeHeaderBytes + at, other.data(), size);
    if (!got.ok() || !too.ok() || *got != size || *too != size ||
        memcmp(one.data(), other.data(), size) != 0) {
      return false;
    }
    at += size;
  }
  return true;
}

}  // namespace

void RememberLarge(const StagingOptions& options, const std::string& path,
                   const LargeHeader& header) {
  Last() = {options, path, header, geteuid(), {options.large_directory}};
}

uint64_t LinkToOriginal(const StagingOptions& options, const LargeHeader& header, File& own,
                        const std::string& link_path) {
  Original& last = Last();
  if (last.path.empty() || options.large_directory.empty() ||
      header.body_stored != last.header.body_stored || header.body_hash != last.header.body_hash ||
      last.uid != geteuid() || options.env != last.options.env ||
      options.mode != last.options.mode || options.gid != last.options.gid ||
      (options.sync && !last.options.sync) || last.given.contains(options.large_directory)) {
    return 0;
  }
  Env& env = *options.env;
  const auto there = env.OpenRead(last.path);
  if (!there.ok()) {
    return 0;
  }
  std::array<uint8_t, kLargeHeaderBytes> bytes;
  const auto got = (*there)->ReadAt(0, bytes.data(), bytes.size());
  const auto found = DecodeLargeHeader(std::span(bytes).first(got.ok() ? *got : 0));
  if (!found.ok() || found->large_id != last.header.large_id ||
      !SameBytes(**there, own, header.body_stored) ||
      // A copy of the whole store may have it.
      env.Stat(NameIn(options.large_directory, last.path)).status().code() != Code::kNotFound ||
      !env.Link(last.path, link_path).ok()) {
    return 0;
  }
  last.given.insert(options.large_directory);
  return last.header.large_id;
}

}  // namespace lbox

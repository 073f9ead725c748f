#include "plugin/migrate-strays.h"

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

namespace fs = std::filesystem;

bool IsBelow(const std::string& path, const std::string& folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string Target(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).string();
}

bool Uses(const fs::path& process, const std::string& folder) {
  if (IsBelow(Target(process / "cwd"), folder)) {
    return true;
  }
  std::error_code error;
  for (fs::directory_iterator entry(process / "fd", error), end; !error && entry != end;
       entry.increment(error)) {
    if (IsBelow(Target(entry->path()), folder)) {
      return true;
    }
  }
  return false;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

std::vector<pid_t> UsersOf(const std::string& folder, std::string_view mark) {
  std::vector<pid_t> found;
  char* real = realpath(folder.c_str(), nullptr);
  if (real == nullptr) {
    return found;
  }
  const std::string root = real;
  free(real);
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    const auto pid = ToNumber(entry->path().filename().string());
    if (pid && static_cast<pid_t>(*pid) != getpid() && Uses(entry->path(), root) &&
        ReadFile(entry->path() / "environ").find(mark) == std::string::npos) {
      found.push_back(static_cast<pid_t>(*pid));
    }
  }
  return found;
}

std::string Shown(const std::vector<pid_t>& pids) {
  std::string text;
  for (const pid_t pid : pids) {
    const std::string number = std::to_string(pid);
    text += (text.empty() ? "" : ", ") + LastLine(ReadFile(fs::path("/proc") / number / "comm")) +
            " (" + number + ")";
  }
  return text;
}

uint64_t AllocatedBytes(const std::string& folder) {
  std::string path = folder;
  char* const paths[] = {path.data(), nullptr};
  FTS* tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, nullptr);
  if (tree == nullptr) {
    return 0;
  }
  uint64_t bytes = 0;
  while (const FTSENT* entry = fts_read(tree)) {
    if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS && entry->fts_info != FTS_DNR &&
        entry->fts_info != FTS_ERR) {
      bytes += static_cast<uint64_t>(entry->fts_statp->st_blocks) * 512;
    }
  }
  (void)fts_close(tree);
  return bytes;
}

}  // namespace lbox::migrate

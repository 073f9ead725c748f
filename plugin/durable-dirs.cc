#include "plugin/durable-dirs.h"

#include <sys/stat.h>

#include "storage/env.h"

namespace {

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::vector<std::string> lbox_missing_parents(const std::string& path) {
  std::vector<std::string> parents;
  struct stat st;
  for (std::string dir = path; dir != "/" && stat(dir.c_str(), &st) < 0; dir = parent_of(dir)) {
    parents.push_back(parent_of(dir));
  }
  return parents;
}

lbox::Status lbox_sync_directories(const std::vector<std::string>& directories) {
  for (const std::string& directory : directories) {
    lbox::Status status = lbox::Env::Default()->SyncDirectory(directory);
    if (!status.ok() && status.code() != lbox::Code::kPermission) {
      return status;
    }
  }
  return {};
}

std::vector<std::string> lbox_parents_up_to(const std::string& path, const std::string& root) {
  std::vector<std::string> parents;
  for (std::string dir = path; dir != root && dir.starts_with(root); dir = parent_of(dir)) {
    parents.push_back(parent_of(dir));
  }
  return parents;
}

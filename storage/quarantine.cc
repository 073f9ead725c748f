#include "storage/quarantine.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr size_t kCopyBytes = 256 * 1024;
constexpr int kMostFoldersASecond = 1000;

std::string TimeName(time_t now) {
  std::array<char, 32> text{};
  struct tm utc {};
  gmtime_r(&now, &utc);
  return {text.data(), strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &utc)};
}

}  // namespace

Status Quarantine::MakeFolder() {
  if (!path_.empty()) {
    return {};
  }
  Env& env = *files_.env;
  const uint32_t mode = files_.mode | ((files_.mode & 0444) >> 2);
  const std::string parent = files_.folder + "/" + kQuarantineName;
  LBOX_RETURN_IF_ERROR(env.MakeDirectory(parent, mode, files_.gid));
  const std::string name = parent + "/" + TimeName(time(nullptr));
  std::string path = name;
  for (int i = 2; env.Stat(path).ok() && i < kMostFoldersASecond; i++) {
    path = name + "-" + std::to_string(i);
  }
  LBOX_RETURN_IF_ERROR(env.MakeDirectory(path, mode, files_.gid));
  if (files_.sync) {
    // Durable after this: the folder's name.
    LBOX_RETURN_IF_ERROR(env.SyncDirectory(parent));
    LBOX_RETURN_IF_ERROR(env.SyncDirectory(files_.folder));
  }
  path_ = path;
  return {};
}

Status Quarantine::Keep(const std::string& path, const std::string& name) {
  LBOX_RETURN_IF_ERROR(MakeFolder());
  const std::string target = path_ + "/" + name;
  Status status = files_.env->Link(path, target);
  if (status.code() == Code::kAborted) {
    return {};
  }
  if (status.code() == Code::kPermission || status.code() == Code::kIo) {
    // A file system without hard links. A link that was said to have failed may be there.
    (void)files_.env->Unlink(target);
    status = Copy(path, target);
  }
  LBOX_RETURN_IF_ERROR(status);
  // Durable after this: the second name.
  return files_.sync ? files_.env->SyncDirectory(path_) : Status();
}

Status Quarantine::Move(const std::string& path, const std::string& name) {
  LBOX_RETURN_IF_ERROR(files_.env->Stat(path).status());
  LBOX_RETURN_IF_ERROR(MakeFolder());
  LBOX_RETURN_IF_ERROR(files_.env->Rename(path, path_ + "/" + name));
  if (!files_.sync) {
    return {};
  }
  // Durable after this: the new name, then that the old one is gone.
  LBOX_RETURN_IF_ERROR(files_.env->SyncDirectory(path_));
  return files_.env->SyncDirectory(path.substr(0, path.find_last_of('/')));
}

Status Quarantine::Copy(const std::string& from, const std::string& to) {
  LBOX_ASSIGN_OR_RETURN(const auto source, files_.env->OpenRead(from));
  LBOX_ASSIGN_OR_RETURN(const auto copy, files_.env->Create(to, true, files_.mode, files_.gid));
  std::string buffer(kCopyBytes, '\0');
  for (uint64_t offset = 0;;) {
    LBOX_ASSIGN_OR_RETURN(const size_t got, source->ReadAt(offset, buffer.data(), buffer.size()));
    if (got == 0) {
      break;
    }
    LBOX_RETURN_IF_ERROR(copy->WriteAt(offset, buffer.data(), got));
    offset += got;
  }
  return files_.sync ? copy->Sync() : Status();
}

Status Quarantine::Write(const std::string& name, std::string_view bytes) {
  LBOX_RETURN_IF_ERROR(MakeFolder());
  const std::string path = path_ + "/" + name;
  const std::string fresh = path + ".new";
  if (Status status = files_.env->Unlink(fresh); !status.ok() && status.code() != Code::kNotFound) {
    return status;
  }
  {
    LBOX_ASSIGN_OR_RETURN(const auto file,
                          files_.env->Create(fresh, false, files_.mode, files_.gid));
    LBOX_RETURN_IF_ERROR(file->WriteAt(0, bytes.data(), bytes.size()));
    if (files_.sync) {
      LBOX_RETURN_IF_ERROR(file->Sync());
    }
  }
  LBOX_RETURN_IF_ERROR(files_.env->Rename(fresh, path));
  return files_.sync ? files_.env->SyncDirectory(path_) : Status();
}

}  // namespace lbox

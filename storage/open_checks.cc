#include "storage/open_checks.h"

#include <array>
#include <cerrno>

#include <sys/vfs.h>
#include <unistd.h>

#include "storage/status_macros.h"

namespace lbox {
namespace {

struct FileSystem {
  uint64_t type;
  const char* name;
};
// Numbers from linux/magic.h and statfs(2), and for those not in Linux itself from their own
// source.
constexpr uint64_t kFuse = 0x65735546;
constexpr std::array<FileSystem, 20> kRemote{{
    {0x6969, "NFS"},        {0x517b, "SMB"},          {0xff534d42, "CIFS"},
    {0xfe534d42, "SMB2"},   {0x00c36400, "CephFS"},   {0x01021997, "9P"},
    {0x5346414f, "AFS"},    {0x6b414653, "AFS"},      {0x73757245, "Coda"},
    {0x564c, "NCP"},        {0x0bd00bd0, "Lustre"},   {0x47504653, "GPFS"},
    {0xaad7aaea, "PanFS"},  {0x7461636f, "OCFS2"},    {0x01161970, "GFS2"},
    {0x19830326, "BeeGFS"}, {0x786f4256, "vboxsf"},   {0xbacbacbc, "vmhgfs"},
    {0x7c7c6673, "prl_fs"}, {0x20030528, "OrangeFS"},
}};

std::string Parent(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

const char* RefusedFileSystem(uint64_t type, bool allow_fuse) {
  if (type == kFuse) {
    return allow_fuse ? nullptr : "FUSE";
  }
  for (const FileSystem& system : kRemote) {
    if (system.type == type) {
      return system.name;
    }
  }
  return nullptr;
}

Status CheckFileSystem(const std::string& path, bool allow_fuse) {
  struct statfs info {};
  std::string at = path;
  while (statfs(at.c_str(), &info) != 0) {
    if (errno == EINTR) {
      continue;
    }
    if (errno != ENOENT || at == "/") {
      return Status::FromErrno("statfs(" + at + ") failed", errno);
    }
    at = Parent(at);
  }
  // f_type is signed on some systems.
  const char* name = RefusedFileSystem(static_cast<uint32_t>(info.f_type), allow_fuse);
  if (name == nullptr) {
    return {};
  }
  return Status(Code::kUnsupported,
                path + " is on a " + name + " file system; a store needs a local one" +
                    (static_cast<uint32_t>(info.f_type) == kFuse
                         ? " (or the setting that allows FUSE, if only this host uses it)"
                         : ""));
}

Status CheckOwner(const std::string& path, const FileInfo& info) {
  const uint32_t self = geteuid();
  if (info.uid != self) {
    return Status(Code::kPermission,
                  path + " belongs to uid " + std::to_string(info.uid) +
                      ", this process runs as uid " + std::to_string(self) +
                      "; a store has one uid: change the owner or the mail user's uid");
  }
  return {};
}

Status CheckFolders(Env& env, const std::string& folder) {
  for (const char* name : {"/p", "/l"}) {
    const std::string path = folder + name;
    const auto info = env.Stat(path);
    if (info.ok() && info->directory) {
      continue;
    }
    if (!info.ok() && info.status().code() != Code::kNotFound) {
      return info.status();
    }
    return Status(Code::kCorruption, path + " is " + (info.ok() ? "not a directory" : "missing") +
                                         "; restore the whole store from a backup");
  }
  return {};
}

Result<Remains> FindRemains(Env& env, const std::string& folder) {
  Remains remains;
  Status status = env.List(folder, [&](const std::string& name) {
    remains.creating |= name == kCreatingName;
    remains.any |= name == "p" || name == "l" || name.starts_with("index.");
  });
  if (!status.ok() && status.code() != Code::kNotFound) {
    return status;
  }
  return remains;
}

}  // namespace lbox

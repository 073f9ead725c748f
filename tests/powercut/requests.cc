#include "tests/powercut/requests.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "tests/powercut/mount.h"

namespace lbox::powercut {
namespace {

// What the kernel knows stays true: nothing changes but through it.
constexpr double kForever = 86400;
constexpr uint64_t kMaxSize = uint64_t{1} << 32;  // bytes, of one file
constexpr uint64_t kBlock = 4096;

Mount& MountOf(fuse_req_t request) {
  return *static_cast<Mount*>(fuse_req_userdata(request));
}

Volume& VolumeOf(fuse_req_t request) {
  return MountOf(request).volume();
}

struct stat Describe(NodeId id, const Node& node) {
  struct stat st {};
  st.st_ino = id;
  st.st_mode = node.mode;
  st.st_nlink = node.links;
  st.st_uid = node.uid;
  st.st_gid = node.gid;
  st.st_size = static_cast<off_t>(node.bytes.size());
  st.st_blksize = kBlock;
  st.st_blocks = (st.st_size + 511) / 512;
  st.st_atim = node.accessed;
  st.st_mtim = node.modified;
  st.st_ctim = node.changed;
  return st;
}

fuse_entry_param Entry(Volume& volume, NodeId id) {
  fuse_entry_param entry{};
  entry.ino = id;
  entry.generation = 1;
  entry.attr = Describe(id, *volume.Find(id));
  entry.attr_timeout = entry.entry_timeout = kForever;
  return entry;
}

// Answers when the power is off or the call is one that fails; true then.
bool Refused(fuse_req_t request) {
  if (MountOf(request).off()) {
    fuse_reply_err(request, EIO);
    return true;
  }
  return false;
}

bool Fails(fuse_req_t request, bool needs_space) {
  if (Refused(request)) {
    return true;
  }
  Faults& faults = MountOf(request).faults();
  if (faults.Meets(needs_space)) {
    fuse_reply_err(request, faults.error());
    return true;
  }
  return false;
}

void ReplyEntry(fuse_req_t request, int error, NodeId id) {
  if (error != 0) {
    fuse_reply_err(request, error);
    return;
  }
  const fuse_entry_param entry = Entry(VolumeOf(request), id);
  fuse_reply_entry(request, &entry);
}

void ReplyAttributes(fuse_req_t request, NodeId id) {
  const Node* node = VolumeOf(request).Find(id);
  if (node == nullptr) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  const struct stat st = Describe(id, *node);
  fuse_reply_attr(request, &st, kForever);
}

// Names --------------------------------------------------------------------------------------

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (Refused(request)) {
    return;
  }
  NodeId id = kNone;
  const int error = VolumeOf(request).Lookup(parent, name, &id);
  ReplyEntry(request, error, id);
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t) {
  if (Fails(request, true)) {
    return;
  }
  NodeId id = kNone;
  const fuse_ctx* user = fuse_req_ctx(request);
  const int error = VolumeOf(request).Make(parent, name, mode, user->uid, user->gid, &id);
  ReplyEntry(request, error, id);
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  MakeNode(request, parent, name, S_IFDIR | mode, 0);
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* info) {
  if (Fails(request, true)) {
    return;
  }
  NodeId id = kNone;
  const fuse_ctx* user = fuse_req_ctx(request);
  Volume& volume = VolumeOf(request);
  if (const int error = volume.Make(parent, name, S_IFREG | mode, user->uid, user->gid, &id);
      error != 0) {
    fuse_reply_err(request, error);
    return;
  }
  const fuse_entry_param entry = Entry(volume, id);
  info->keep_cache = 1;
  fuse_reply_create(request, &entry, info);
}

void Link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  if (!Fails(request, true)) {
    const int error = VolumeOf(request).Link(node, parent, name);
    ReplyEntry(request, error, node);
  }
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (!Fails(request, false)) {
    fuse_reply_err(request, VolumeOf(request).Remove(parent, name, false));
  }
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (!Fails(request, false)) {
    fuse_reply_err(request, VolumeOf(request).Remove(parent, name, true));
  }
}

void Rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t to,
            const char* new_name, unsigned int flags) {
  if (Fails(request, false)) {
    return;
  }
  if ((flags & ~static_cast<unsigned int>(RENAME_NOREPLACE)) != 0) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  fuse_reply_err(request, VolumeOf(request).Rename(parent, name, to, new_name, flags == 0));
}

// Attributes -----------------------------------------------------------------------------------

void GetAttributes(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
  if (!Refused(request)) {
    ReplyAttributes(request, id);
  }
}

void SetAttributes(fuse_req_t request, fuse_ino_t id, struct stat* st, int what, fuse_file_info*) {
  Volume& volume = VolumeOf(request);
  Node* node = volume.Find(id);
  const auto size = static_cast<uint64_t>(st->st_size);
  const bool resize = (what & FUSE_SET_ATTR_SIZE) != 0;
  if (Fails(request, resize && node != nullptr && size > node->bytes.size())) {
    return;
  }
  if (node == nullptr || (resize && size > kMaxSize)) {
    fuse_reply_err(request, node == nullptr ? ESTALE : EFBIG);
    return;
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (resize) {
    volume.Resize(id, size);
  }
  if ((what & FUSE_SET_ATTR_MODE) != 0) {
    node->mode = (node->mode & S_IFMT) | (st->st_mode & ~static_cast<mode_t>(S_IFMT));
  }
  if ((what & FUSE_SET_ATTR_UID) != 0) {
    node->uid = st->st_uid;
  }
  if ((what & FUSE_SET_ATTR_GID) != 0) {
    node->gid = st->st_gid;
  }
  if ((what & FUSE_SET_ATTR_ATIME) != 0) {
    node->accessed = (what & FUSE_SET_ATTR_ATIME_NOW) != 0 ? now : st->st_atim;
  }
  if ((what & FUSE_SET_ATTR_MTIME) != 0) {
    node->modified = (what & FUSE_SET_ATTR_MTIME_NOW) != 0 ? now : st->st_mtim;
  }
  node->changed = now;
  ReplyAttributes(request, id);
}

void StatFs(fuse_req_t request, fuse_ino_t) {
  if (Refused(request)) {
    return;
  }
  struct statvfs info {};
  info.f_bsize = info.f_frsize = kBlock;
  info.f_blocks = info.f_bfree = info.f_bavail = kMaxSize / kBlock;
  info.f_files = info.f_ffree = info.f_favail = 1 << 20;
  info.f_namemax = 255;
  fuse_reply_statfs(request, &info);
}

// Files ------------------------------------------------------------------------------------------

void Open(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
  if (Refused(request)) {
    return;
  }
  const Node* node = VolumeOf(request).Find(id);
  if (node == nullptr) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  if ((info->flags & O_TRUNC) != 0 && !node->bytes.empty()) {
    if (Fails(request, false)) {
      return;
    }
    VolumeOf(request).Resize(id, 0);
  }
  info->keep_cache = 1;
  fuse_reply_open(request, info);
}

void Read(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset, fuse_file_info*) {
  if (Refused(request)) {
    return;
  }
  const Node* node = VolumeOf(request).Find(id);
  if (node == nullptr) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  const uint64_t begin = std::min<uint64_t>(static_cast<uint64_t>(offset), node->bytes.size());
  fuse_reply_buf(request, node->bytes.data() + begin,
                 std::min<uint64_t>(size, node->bytes.size() - begin));
}

void Write(fuse_req_t request, fuse_ino_t id, const char* data, size_t size, off_t offset,
           fuse_file_info* info) {
  if (Refused(request)) {
    return;
  }
  Mount& mount = MountOf(request);
  if (mount.volume().Find(id) == nullptr || static_cast<uint64_t>(offset) + size > kMaxSize) {
    fuse_reply_err(request, EFBIG);
    return;
  }
  // What was changed through a map comes when the kernel likes, and no call of a process fails.
  if (info->writepage == 0 && mount.faults().Meets(true, size > 1)) {
    if (mount.faults().error() != 0) {
      fuse_reply_err(request, mount.faults().error());
      return;
    }
    size /= 2;
  }
  mount.volume().Write(id, static_cast<uint64_t>(offset), {data, size},
                       (info->flags & (O_DSYNC | O_SYNC)) != 0);
  fuse_reply_write(request, size);
}

void Allocate(fuse_req_t request, fuse_ino_t id, int mode, off_t offset, off_t size,
              fuse_file_info*) {
  if (Fails(request, true)) {
    return;
  }
  const Node* node = VolumeOf(request).Find(id);
  const uint64_t end = static_cast<uint64_t>(offset) + static_cast<uint64_t>(size);
  if (mode != 0 || node == nullptr || end > kMaxSize) {
    fuse_reply_err(request, mode != 0 ? EOPNOTSUPP : EFBIG);
    return;
  }
  if (end > node->bytes.size()) {
    VolumeOf(request).Resize(id, end);
  }
  fuse_reply_err(request, 0);
}

void Sync(fuse_req_t request, fuse_ino_t id, int, fuse_file_info*) {
  if (!Fails(request, true)) {
    VolumeOf(request).Flush(id);
    fuse_reply_err(request, 0);
  }
}

// Directories ------------------------------------------------------------------------------------

struct Listed {
  std::string name;
  NodeId id;
  mode_t mode;
};
using Listing = std::vector<Listed>;

void OpenDirectory(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) {
  if (Refused(request)) {
    return;
  }
  Volume& volume = VolumeOf(request);
  const Node* node = volume.Find(id);
  if (node == nullptr) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  auto listing = std::make_unique<Listing>();
  listing->push_back({".", id, S_IFDIR});
  listing->push_back({"..", node->parent, S_IFDIR});
  for (const auto& [name, child] : node->names) {
    listing->push_back({name, child, volume.Find(child)->mode});
  }
  info->fh = reinterpret_cast<uint64_t>(listing.get());
  if (fuse_reply_open(request, info) == 0) {
    static_cast<void>(listing.release());  // until ReleaseDirectory
  }
}

void ReadDirectory(fuse_req_t request, fuse_ino_t, size_t size, off_t offset,
                   fuse_file_info* info) {
  if (Refused(request)) {
    return;
  }
  const Listing& listing = *reinterpret_cast<Listing*>(info->fh);
  std::string buffer(size, '\0');
  size_t used = 0;
  for (auto i = static_cast<size_t>(offset); i < listing.size(); i++) {
    struct stat st {};
    st.st_ino = listing[i].id;
    st.st_mode = listing[i].mode;
    const size_t needed =
        fuse_add_direntry(request, buffer.data() + used, size - used, listing[i].name.c_str(), &st,
                          static_cast<off_t>(i) + 1);
    if (needed > size - used) {
      break;
    }
    used += needed;
  }
  fuse_reply_buf(request, buffer.data(), used);
}

void ReleaseDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  delete reinterpret_cast<Listing*>(info->fh);
  fuse_reply_err(request, 0);
}

}  // namespace

// Nodes that no name leads to any more stay until the next cut: processes may have them open.
const fuse_lowlevel_ops& Requests() {
  static const fuse_lowlevel_ops requests = [] {
    fuse_lowlevel_ops ops{};
    ops.lookup = Lookup;
    ops.getattr = GetAttributes;
    ops.setattr = SetAttributes;
    ops.mknod = MakeNode;
    ops.mkdir = MakeDirectory;
    ops.unlink = Unlink;
    ops.rmdir = RemoveDirectory;
    ops.rename = Rename;
    ops.link = Link;
    ops.open = Open;
    ops.read = Read;
    ops.write = Write;
    ops.fsync = Sync;
    ops.opendir = OpenDirectory;
    ops.readdir = ReadDirectory;
    ops.releasedir = ReleaseDirectory;
    ops.fsyncdir = Sync;
    ops.statfs = StatFs;
    ops.create = Create;
    ops.fallocate = Allocate;
    return ops;
  }();
  return requests;
}

}  // namespace lbox::powercut

#include "tests/fault/trace.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fcntl.h>

namespace lbox::testing {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace

std::string Op::ToString() const {
  const std::string in = directory.empty() ? "" : directory + "/";
  switch (kind) {
    case Kind::kWrite:
      return std::string(through ? "write through " : "write ") + path + " at " +
             std::to_string(offset) + ", " + std::to_string(bytes.size()) + " bytes";
    case Kind::kResize:
      return "truncate " + path + " to " + std::to_string(size);
    case Kind::kExtend:
      return "extend " + path + " to " + std::to_string(size);
    case Kind::kSync:
      return "flush " + path;
    case Kind::kSyncFailed:
      return "flush in vain " + path;
    case Kind::kSyncDirectory:
      return "flush directory " + directory;
    case Kind::kName:
      return "name " + in + name;
    case Kind::kUnname:
      return "remove " + in + name;
    case Kind::kRename:
      return "rename " + in + name + " to " + name2;
    case Kind::kMakeDirectory:
      return "make directory " + in + name;
  }
  return "?";
}

Recorder::Recorder(std::string folder) : folder_(std::move(folder)) {
  Load("");
}

Trace Trace::Until(size_t point) const {
  Trace part{base_names, base_bytes, base_directories, {}};
  part.ops.assign(ops.begin(), ops.begin() + static_cast<ptrdiff_t>(point));
  return part;
}

Recorder::Recorder(std::string folder, Trace start)
    : trace(std::move(start)), folder_(std::move(folder)) {
  names_ = trace.base_names;
  for (const auto& [name, file] : names_) {
    next_file_ = std::max(next_file_, file + 1);
  }
  for (const Op& op : trace.ops) {
    Follow(op);
    next_file_ = std::max(next_file_, op.file + 1);
  }
}

void Recorder::Follow(const Op& op) {
  const std::string in = op.directory.empty() ? "" : op.directory + "/";
  if (op.kind == Op::Kind::kUnname || op.kind == Op::Kind::kRename) {
    names_.erase(in + op.name);
  }
  if (op.kind == Op::Kind::kName || op.kind == Op::Kind::kRename) {
    names_[in + (op.kind == Op::Kind::kName ? op.name : op.name2)] = op.file;
  }
}

void Recorder::Load(const std::string& relative) {
  trace.base_directories.insert(relative);
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/" + relative)) {
    const std::string path =
        (relative.empty() ? "" : relative + "/") + entry.path().filename().string();
    if (entry.is_directory()) {
      Load(path);
      continue;
    }
    std::ifstream in(entry.path(), std::ios::binary);
    const int file = next_file_++;
    names_[path] = trace.base_names[path] = file;
    trace.base_bytes[file] = std::string(std::istreambuf_iterator<char>(in), {});
  }
}

bool Recorder::Relative(const char* path, std::string& relative) const {
  relative = path;
  if (relative == folder_) {
    relative = "";
    return true;
  }
  if (!relative.starts_with(folder_ + "/")) {
    return false;
  }
  relative.erase(0, folder_.size() + 1);
  return true;
}

bool Recorder::Watched(const Call& call) const {
  std::string ignored;
  return call.fd != -1 ? open_.contains(call.fd) : Relative(call.path, ignored);
}

std::string Recorder::PathOf(int fd) const {
  const auto open = open_.find(fd);
  return open == open_.end() ? "?" : open->second.path;
}

Op& Recorder::Add(Op::Kind kind) {
  Op& op = trace.ops.emplace_back();
  op.kind = kind;
  return op;
}

void Recorder::Named(Op::Kind kind, const std::string& path, int file) {
  Op& op = Add(kind);
  op.file = file;
  op.directory = DirectoryOf(path);
  op.name = NameOf(path);
  Follow(op);
}

void Recorder::Opened(const Call& call, int fd) {
  OpenFile open;
  if (!Relative(call.path, open.path)) {
    return;
  }
  open.through = (call.flags & (O_DSYNC | O_SYNC)) != 0;
  if ((call.flags & O_DIRECTORY) == 0) {
    if (!names_.contains(open.path)) {
      assert((call.flags & O_CREAT) != 0);
      Named(Op::Kind::kName, open.path, next_file_++);
    }
    open.file = names_[open.path];
  }
  open_[fd] = open;
}

void Recorder::Renamed(const Call& call) {
  std::string from, to;
  if (!Relative(call.path, from) || !Relative(call.path2, to)) {
    return;
  }
  const int file = names_.at(from);
  if (DirectoryOf(from) != DirectoryOf(to)) {
    Named(Op::Kind::kName, to, file);
    Named(Op::Kind::kUnname, from, file);
    return;
  }
  Op& op = Add(Op::Kind::kRename);
  op.file = file;
  op.directory = DirectoryOf(from);
  op.name = NameOf(from);
  op.name2 = NameOf(to);
  Follow(op);
}

void Recorder::Changed(const Call& call, const OpenFile& open, int64_t result) {
  const bool flush = call.kind == CallKind::kSync;
  if (open.file == -1) {
    if (flush && result == 0) {
      Add(Op::Kind::kSyncDirectory).directory = open.path;
    }
    return;
  }
  if (result < 0 && (!flush || call.error == EINTR)) {
    return;
  }
  Op op;
  op.file = open.file;
  op.path = open.path;
  if (flush) {
    op.kind = result == 0 ? Op::Kind::kSync : Op::Kind::kSyncFailed;
  } else if (call.kind == CallKind::kWrite) {
    op.bytes.assign(reinterpret_cast<const char*>(call.data), static_cast<size_t>(result));
    op.offset = call.offset;
    op.through = open.through;
  } else {
    op.kind = call.kind == CallKind::kTruncate ? Op::Kind::kResize : Op::Kind::kExtend;
    op.size = call.size;
  }
  trace.ops.push_back(std::move(op));
}

void Recorder::After(const Call& call, int64_t result) {
  std::string path;
  switch (call.kind) {
    case CallKind::kOpen:
      return result >= 0 ? Opened(call, static_cast<int>(result)) : void();
    case CallKind::kClose:
      open_.erase(call.fd);
      return;
    case CallKind::kMakeDirectory:
      return result == 0 && Relative(call.path, path) ? Named(Op::Kind::kMakeDirectory, path, -1)
                                                      : void();
    case CallKind::kUnlink:
      return result == 0 && Relative(call.path, path)
                 ? Named(Op::Kind::kUnname, path, names_.at(path))
                 : void();
    case CallKind::kLink: {
      std::string to;
      return result == 0 && Relative(call.path, path) && Relative(call.path2, to)
                 ? Named(Op::Kind::kName, to, names_.at(path))
                 : void();
    }
    case CallKind::kRename:
      return result == 0 ? Renamed(call) : void();
    case CallKind::kWrite:
    case CallKind::kTruncate:
    case CallKind::kAllocate:
    case CallKind::kSync:
      if (const auto open = open_.find(call.fd); open != open_.end()) {
        Changed(call, open->second, result);
      }
      return;
    default:
      return;
  }
}

}  // namespace lbox::testing

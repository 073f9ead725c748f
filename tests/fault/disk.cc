#include "tests/fault/disk.h"

#include <algorithm>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lbox::testing {
namespace {

constexpr uint64_t kPage = 4096;

bool IsName(const Op& op) {
  return op.kind == Op::Kind::kName || op.kind == Op::Kind::kUnname ||
         op.kind == Op::Kind::kRename || op.kind == Op::Kind::kMakeDirectory;
}

// Numbers that depend on the point alone, so that a failure can be had again.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}
  uint64_t Below(uint64_t end) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % end;
  }

 private:
  uint64_t state_;
};

void MustBe(bool done, const char* what) {
  if (!done) {
    perror(what);
    abort();
  }
}

}  // namespace

const char* CutName(CutKind kind) {
  static constexpr const char* kCutNames[] = {"all dropped",         "a prefix kept",
                                              "the last write torn", "names, no data",
                                              "anything kept",       "killed, not cut"};
  return kCutNames[static_cast<size_t>(kind)];
}

Disk::Disk(const Trace& trace, Ignored ignored) : trace_(trace), ignored_(std::move(ignored)) {
  bytes_ = trace.base_bytes;
  for (const std::string& directory : trace.base_directories) {
    tree_[directory];
    if (!directory.empty()) {
      const size_t slash = directory.find_last_of('/');
      const std::string parent = slash == std::string::npos ? "" : directory.substr(0, slash);
      tree_[parent][directory.substr(slash + 1)] = kDirectory;
    }
  }
  for (const auto& [path, file] : trace.base_names) {
    const size_t slash = path.find_last_of('/');
    tree_[slash == std::string::npos ? "" : path.substr(0, slash)][path.substr(slash + 1)] = file;
  }
}

void Disk::Advance(size_t point) {
  unchanged_ = point == point_;
  while (point_ < point) {
    Apply(trace_.ops[point_++]);
  }
}

void Disk::Change(Tree& tree, const Op& op) {
  Names& names = tree[op.directory];
  switch (op.kind) {
    case Op::Kind::kMakeDirectory:
      names[op.name] = kDirectory;
      break;
    case Op::Kind::kName:
      names[op.name] = op.file;
      break;
    case Op::Kind::kRename:
      names[op.name2] = op.file;
      names.erase(op.name);
      break;
    default:
      names.erase(op.name);
  }
}

void Disk::Change(std::string& bytes, const Op& op) {
  if (op.kind == Op::Kind::kResize) {
    bytes.resize(op.size);
  } else if (op.kind == Op::Kind::kExtend) {
    bytes.resize(std::max<size_t>(bytes.size(), op.size));
  } else {
    bytes.resize(std::max<size_t>(bytes.size(), op.offset + op.bytes.size()));
    bytes.replace(op.offset, op.bytes.size(), op.bytes);
  }
}

// Those become durable, or never will.
void Disk::Settle(const std::function<bool(const Op&)>& which, bool lost) {
  std::erase_if(pending_, [&](const Pending& pending) {
    const Op& op = *pending.op;
    if (!which(op)) {
      return false;
    }
    if (IsName(op)) {
      Change(tree_, op);
    } else if (!lost || pending.durable) {
      Change(bytes_[op.file], op);
    }
    return true;
  });
}

void Disk::Apply(const Op& op) {
  const bool real = ignored_ == nullptr || !ignored_(op);
  switch (op.kind) {
    case Op::Kind::kSync:
    case Op::Kind::kSyncFailed:
      if (real) {
        Settle([&](const Op& other) { return !IsName(other) && other.file == op.file; },
               op.kind == Op::Kind::kSyncFailed);
      }
      return;
    case Op::Kind::kSyncDirectory:
      if (real) {
        Settle([&](const Op& other) { return IsName(other) && other.directory == op.directory; });
      }
      return;
    default:
      if (op.through && real) {
        Change(bytes_[op.file], op);
      }
      pending_.push_back({&op, op.through && real});
  }
}

void Disk::Choose(CutKind kind, Tree& tree, std::vector<Piece>& pieces) const {
  Dice dice(point_);
  const size_t prefix = dice.Below(pending_.size() + 1);
  const Op* torn = nullptr;
  if (kind == CutKind::kTorn) {
    if (point_ < trace_.ops.size() && trace_.ops[point_].kind == Op::Kind::kWrite) {
      torn = &trace_.ops[point_];
    } else {
      for (const Pending& pending : pending_) {
        torn = pending.op->kind == Op::Kind::kWrite && !pending.durable ? pending.op : torn;
      }
    }
  }
  for (size_t i = 0; i < pending_.size(); i++) {
    const Op& op = *pending_[i].op;
    const uint64_t size = op.bytes.size();
    const bool first = i < prefix;
    if (IsName(op)) {
      const bool kept = kind == CutKind::kPrefix      ? first
                        : kind == CutKind::kScattered ? dice.Below(2) == 0
                                                      : kind != CutKind::kDropped;
      if (kept) {
        Change(tree, op);
      }
    } else if (pending_[i].durable || kind == CutKind::kKilled ||
               (kind == CutKind::kPrefix && first)) {
      pieces.push_back({&op, 0, size});
    } else if (kind == CutKind::kTorn) {
      pieces.push_back({&op, 0, &op == torn ? size / 2 : size});
    } else if (kind == CutKind::kScattered) {
      if (op.kind != Op::Kind::kWrite && dice.Below(2) == 0) {
        pieces.push_back({&op, 0, 0});
      }
      for (uint64_t begin = 0; begin < size;) {
        const uint64_t end = std::min(size, begin + kPage - (op.offset + begin) % kPage);
        if (dice.Below(2) == 0) {
          pieces.push_back({&op, begin, end});
        }
        begin = end;
      }
    }
  }
  if (torn != nullptr && torn == (point_ < trace_.ops.size() ? &trace_.ops[point_] : nullptr)) {
    pieces.push_back({torn, 0, torn->bytes.size() / 2});
  }
}

void Disk::Cut(CutKind kind, const std::string& to) const {
  Tree tree = tree_;
  std::vector<Piece> pieces;
  Choose(kind, tree, pieces);
  WriteFolder(tree, pieces, "", to, kind != CutKind::kDropped);
}

void Disk::WriteFolder(const Tree& tree, const std::vector<Piece>& pieces,
                       const std::string& folder, const std::string& to, bool junk) const {
  const auto names = tree.find(folder);
  if (names == tree.end()) {
    return;
  }
  for (const auto& [name, file] : names->second) {
    const std::string path = to + "/" + name;
    if (file == kDirectory) {
      MustBe(mkdir(path.c_str(), 0700) == 0, path.c_str());
      WriteFolder(tree, pieces, folder.empty() ? name : folder + "/" + name, path, junk);
    } else {
      WriteFile(file, pieces, path, junk && name.ends_with("-lock"));
    }
  }
}

// junk: of a file that was changed through memory, which left no trace.
void Disk::WriteFile(int file, const std::vector<Piece>& pieces, const std::string& to,
                     bool junk) const {
  const int fd = open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  MustBe(fd != -1, to.c_str());
  const auto put = [&](const char* data, uint64_t size, uint64_t offset) {
    MustBe(pwrite(fd, data, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size),
           to.c_str());
  };
  const auto bytes = bytes_.find(file);
  uint64_t end = 0;
  if (bytes != bytes_.end()) {
    put(bytes->second.data(), end = bytes->second.size(), 0);
  }
  for (const Piece& piece : pieces) {
    const Op& op = *piece.op;
    if (op.file != file) {
      continue;
    }
    if (op.kind == Op::Kind::kWrite) {
      put(op.bytes.data() + piece.begin, piece.end - piece.begin, op.offset + piece.begin);
      end = std::max(end, op.offset + piece.end);
    } else {
      end = op.kind == Op::Kind::kResize ? op.size : std::max(end, op.size);
      MustBe(ftruncate(fd, static_cast<off_t>(end)) == 0, to.c_str());
    }
  }
  if (junk) {
    put(std::string(end, '\xa5').data(), end, 0);
  }
  close(fd);
}

}  // namespace lbox::testing

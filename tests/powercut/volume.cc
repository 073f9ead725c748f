#include "tests/powercut/volume.h"

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>

namespace lbox::powercut {

Volume::Volume(uid_t uid, gid_t gid) {
  Node& root = nodes_[kRoot];
  root.mode = S_IFDIR | 0755;
  root.uid = uid;
  root.gid = gid;
  root.links = 2;
  root.parent = kRoot;
  Touch(root);
}

Node* Volume::Find(NodeId id) {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

void Volume::Touch(Node& node) {
  clock_gettime(CLOCK_REALTIME, &node.modified);
  node.changed = node.modified;
}

int Volume::Lookup(NodeId directory, const std::string& name, NodeId* found) {
  const Node* node = Find(directory);
  if (node == nullptr) {
    return ESTALE;
  }
  if (!S_ISDIR(node->mode)) {
    return ENOTDIR;
  }
  const auto entry = node->names.find(name);
  if (entry == node->names.end()) {
    return ENOENT;
  }
  *found = entry->second;
  return 0;
}

bool Volume::IsEmpty(NodeId directory) {
  return At(directory).names.empty();
}

bool Volume::LeadsTo(NodeId directory, NodeId ancestor) {
  while (directory != kRoot && directory != ancestor) {
    directory = At(directory).parent;
  }
  return directory == ancestor;
}

// Live at once, durable by a flush.
void Volume::ChangeNames(std::vector<Change> changes) {
  for (const Change& change : changes) {
    Node& directory = At(change.directory);
    Touch(directory);
    const auto old = directory.names.find(change.name);
    if (old != directory.names.end()) {
      Node& node = At(old->second);
      node.links -= S_ISDIR(node.mode) ? 2 : 1;
      directory.links -= S_ISDIR(node.mode) ? 1 : 0;
      directory.names.erase(old);
      clock_gettime(CLOCK_REALTIME, &node.changed);
    }
    if (change.node != kNone) {
      directory.names[change.name] = change.node;
      Node& node = At(change.node);
      node.links += S_ISDIR(node.mode) ? 2 : 1;
      clock_gettime(CLOCK_REALTIME, &node.changed);
      if (S_ISDIR(node.mode)) {
        directory.links++;
        node.parent = change.directory;
      }
    }
  }
  Op op{.kind = Op::Kind::kNames};
  op.changes = std::move(changes);
  pending_.push_back(std::move(op));
}

int Volume::Make(NodeId directory, const std::string& name, mode_t mode, uid_t uid, gid_t gid,
                 NodeId* made) {
  const int error = Lookup(directory, name, made);
  if (error != ENOENT) {
    return error == 0 ? EEXIST : error;
  }
  if (At(directory).links == 0) {
    return ENOENT;  // removed while a process was in it
  }
  *made = next_++;
  Node& node = nodes_[*made];
  node.mode = mode;
  node.uid = uid;
  node.gid = gid;
  Touch(node);
  node.accessed = node.modified;
  ChangeNames({{directory, name, *made}});
  return 0;
}

int Volume::Link(NodeId node, NodeId directory, const std::string& name) {
  NodeId old = kNone;
  const int error = Lookup(directory, name, &old);
  if (error != ENOENT) {
    return error == 0 ? EEXIST : error;
  }
  const Node* linked = Find(node);
  if (linked == nullptr || linked->links == 0) {
    return ENOENT;
  }
  if (S_ISDIR(linked->mode)) {
    return EPERM;
  }
  ChangeNames({{directory, name, node}});
  return 0;
}

int Volume::Remove(NodeId directory, const std::string& name, bool remove_directory) {
  NodeId node = kNone;
  if (const int error = Lookup(directory, name, &node); error != 0) {
    return error;
  }
  if (S_ISDIR(At(node).mode) != remove_directory) {
    return remove_directory ? ENOTDIR : EISDIR;
  }
  if (remove_directory && !IsEmpty(node)) {
    return ENOTEMPTY;
  }
  ChangeNames({{directory, name, kNone}});
  return 0;
}

int Volume::Rename(NodeId from, const std::string& old_name, NodeId to, const std::string& new_name,
                   bool replace) {
  NodeId node = kNone;
  NodeId replaced = kNone;
  if (const int error = Lookup(from, old_name, &node); error != 0) {
    return error;
  }
  const int error = Lookup(to, new_name, &replaced);
  if (error != 0 && error != ENOENT) {
    return error;
  }
  const bool directory = S_ISDIR(At(node).mode);
  if (directory && LeadsTo(to, node)) {
    return EINVAL;
  }
  if (error == 0) {
    if (!replace) {
      return EEXIST;
    }
    if (replaced == node) {
      return 0;
    }
    const bool onto_directory = S_ISDIR(At(replaced).mode);
    if (directory != onto_directory) {
      return directory ? ENOTDIR : EISDIR;
    }
    if (onto_directory && !IsEmpty(replaced)) {
      return ENOTEMPTY;
    }
  }
  ChangeNames({{from, old_name, kNone}, {to, new_name, node}});
  return 0;
}

void Volume::ApplyData(const Op& op, uint64_t begin, uint64_t end, std::string& bytes) {
  if (op.kind == Op::Kind::kResize) {
    bytes.resize(op.offset);
    return;
  }
  bytes.resize(std::max<size_t>(bytes.size(), op.offset + end));
  bytes.replace(op.offset + begin, end - begin, op.data, begin, end - begin);
}

void Volume::Write(NodeId file, uint64_t offset, std::string_view data, bool through) {
  Node& node = At(file);
  Op op{.kind = Op::Kind::kWrite, .file = file, .offset = offset, .data = std::string(data)};
  ApplyData(op, 0, data.size(), node.bytes);
  Touch(node);
  op.durable = through && !lying_;
  if (op.durable) {
    ApplyData(op, 0, data.size(), node.kept_bytes);
    // Again after those before it, when any of them is left.
    if (std::none_of(pending_.begin(), pending_.end(),
                     [&](const Op& other) { return other.file == file; })) {
      return;
    }
  }
  pending_.push_back(std::move(op));
}

void Volume::Resize(NodeId file, uint64_t size) {
  Node& node = At(file);
  node.bytes.resize(size);
  Touch(node);
  pending_.push_back({.kind = Op::Kind::kResize, .file = file, .offset = size});
}

// The directory whose flush makes names durable.
NodeId Volume::Op::FlushedWith() const {
  for (const Change& change : changes) {
    if (change.node != kNone) {
      return change.directory;
    }
  }
  return changes.empty() ? kNone : changes.front().directory;
}

// supersede: what came earlier about the same names is not to come back.
void Volume::ApplyNames(const Op& op, bool supersede) {
  for (const Change& change : op.changes) {
    Names& names = At(change.directory).kept_names;
    if (change.node == kNone) {
      names.erase(change.name);
    } else {
      names[change.name] = change.node;
    }
    if (!supersede) {
      continue;
    }
    for (Op& earlier : pending_) {
      if (&earlier == &op) {
        break;
      }
      std::erase_if(earlier.changes, [&](const Change& other) {
        return other.directory == change.directory && other.name == change.name;
      });
    }
  }
}

void Volume::Flush(NodeId node) {
  if (lying_) {
    return;
  }
  for (auto op = pending_.begin(); op != pending_.end();) {
    if (op->kind == Op::Kind::kNames && (op->changes.empty() || op->FlushedWith() == node)) {
      ApplyNames(*op, true);
    } else if (op->kind != Op::Kind::kNames && op->file == node) {
      ApplyData(*op, 0, op->data.size(), At(node).kept_bytes);
    } else {
      ++op;
      continue;
    }
    op = pending_.erase(op);
  }
}

}  // namespace lbox::powercut

// What a power cut leaves.
#include <algorithm>
#include <iterator>
#include <random>

#include <sys/stat.h>

#include "tests/powercut/volume.h"

namespace lbox::powercut {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

const char* CutName(CutKind kind) {
  static constexpr const char* kNames[] = {"dropped", "prefix", "torn", "names", "scattered"};
  return kNames[static_cast<size_t>(kind)];
}

void Volume::Cut(CutKind kind, uint64_t seed) {
  std::mt19937_64 dice(seed);
  const auto coin = [&] { return dice() % 2 == 0; };
  const size_t prefix = dice() % (pending_.size() + 1);
  const Op* last = nullptr;  // the last write that is not durable
  for (const Op& op : pending_) {
    last = op.kind == Op::Kind::kWrite && !op.durable ? &op : last;
  }
  size_t i = 0;
  for (const Op& op : pending_) {
    const bool first = i++ < prefix;
    const uint64_t size = op.data.size();
    if (op.kind == Op::Kind::kNames) {
      if (kind == CutKind::kPrefix      ? first
          : kind == CutKind::kScattered ? coin()
                                        : kind != CutKind::kDropped) {
        ApplyNames(op, false);
      }
      continue;
    }
    std::string& bytes = At(op.file).kept_bytes;
    if (op.durable || (kind == CutKind::kPrefix && first)) {
      ApplyData(op, 0, size, bytes);
    } else if (kind == CutKind::kTorn) {
      ApplyData(op, 0, &op == last ? size / 2 : size, bytes);
    } else if (kind == CutKind::kScattered && op.kind == Op::Kind::kResize) {
      if (coin()) {
        ApplyData(op, 0, 0, bytes);
      }
    } else if (kind == CutKind::kScattered) {
      for (uint64_t begin = 0; begin < size;) {
        const uint64_t end = std::min(size, begin + kPage - (op.offset + begin) % kPage);
        if (coin()) {
          ApplyData(op, begin, end, bytes);
        }
        begin = end;
      }
    }
  }
  pending_.clear();
  Restart();
}

// What is durable becomes what is seen; what no name leads to goes.
void Volume::Restart() {
  for (auto& [id, node] : nodes_) {
    node.bytes = node.kept_bytes;
    node.names.clear();
    node.links = 0;
  }
  At(kRoot).links = 2;
  std::vector<NodeId> reached{kRoot};
  while (!reached.empty()) {
    const NodeId id = reached.back();
    reached.pop_back();
    Node& directory = At(id);
    for (auto entry = directory.kept_names.begin(); entry != directory.kept_names.end();) {
      Node& node = At(entry->second);
      if (S_ISDIR(node.mode)) {
        if (node.links > 0) {  // a second name of a directory that was renamed
          entry = directory.kept_names.erase(entry);
          continue;
        }
        node.links = 1;
        node.parent = id;
        directory.links++;
        reached.push_back(entry->second);
      }
      node.links++;
      ++entry;
    }
    directory.names = directory.kept_names;
  }
  std::erase_if(nodes_, [](const auto& item) { return item.second.links == 0; });
}

}  // namespace lbox::powercut

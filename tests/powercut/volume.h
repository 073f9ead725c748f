// The files and directories of a disk whose power may be cut, in memory.
//
// Purpose: holds, of everything, what processes see (live) and what a power cut leaves (durable).
// The rules are those of tests/fault/disk.h, which are POSIX's and promise less than any one file
// system: data and size of a file are durable by its flush, or at once when written through; names
// by a flush of their directory, of that directory alone, a new directory's own name by that of its
// parent; a rename as a whole by that of the directory it leads to. Of what is not durable anything
// may be left or not, within the limits of CutKind. Owner, mode and times are durable at once.
// Ownership: owns every node. Process and thread rules: one thread; knows nothing of FUSE.
// Failure modes: functions that can fail return 0 or an errno value.
#pragma once

#include <cstdint>
#include <ctime>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/types.h>

namespace lbox::powercut {

using NodeId = uint64_t;
inline constexpr NodeId kRoot = 1;
inline constexpr NodeId kNone = 0;

using Names = std::map<std::string, NodeId>;

struct Node {
  mode_t mode = 0;  // with the type: S_IFREG or S_IFDIR, S_IFSOCK, S_IFIFO
  uid_t uid = 0;
  gid_t gid = 0;
  timespec accessed{}, modified{}, changed{};
  nlink_t links = 0;       // live names
  NodeId parent = kNone;   // of a directory
  std::string bytes;       // live
  Names names;             // live, of a directory
  std::string kept_bytes;  // durable
  Names kept_names;        // durable
};

// What is left of what was not durable.
enum class CutKind {
  kDropped,    // nothing
  kPrefix,     // the first part in the order of the calls
  kTorn,       // all of it, but of the last write half
  kNames,      // all names, no data: files of size 0
  kScattered,  // any pages and names, whatever their order was
};
inline constexpr CutKind kAllCuts[] = {CutKind::kDropped, CutKind::kPrefix, CutKind::kTorn,
                                       CutKind::kNames, CutKind::kScattered};
const char* CutName(CutKind kind);

class Volume {
 public:
  // The root belongs to that user and group.
  Volume(uid_t uid, gid_t gid);

  // Null when there is none; valid until the next Cut.
  Node* Find(NodeId id);
  // Live names -------------------------------------------------------------------------------
  int Lookup(NodeId directory, const std::string& name, NodeId* found);
  int Make(NodeId directory, const std::string& name, mode_t mode, uid_t uid, gid_t gid,
           NodeId* made);
  int Link(NodeId node, NodeId directory, const std::string& name);
  // directory: whether a directory is to be removed, or anything else.
  int Remove(NodeId directory, const std::string& name, bool remove_directory);
  int Rename(NodeId from, const std::string& old_name, NodeId to, const std::string& new_name,
             bool replace);

  // Data ---------------------------------------------------------------------------------------
  // through: durable with the call (O_DSYNC). The offset is at most kMaxSize - data.size().
  void Write(NodeId file, uint64_t offset, std::string_view data, bool through);
  void Resize(NodeId file, uint64_t size);

  // What changed of a file, or of a directory's names, is durable after this, unless lying.
  void Flush(NodeId node);

  // What processes saw is gone; what is durable, and what `kind` leaves of the rest, is all there
  // is. The same seed leaves the same.
  void Cut(CutKind kind, uint64_t seed);

  // A disk that acknowledges flushes and does not do them: shows that a test notices.
  void set_lying(bool lying) { lying_ = lying; }
  [[nodiscard]] size_t pending() const { return pending_.size(); }

 private:
  struct Change {  // of one name
    NodeId directory;
    std::string name;
    NodeId node;  // kNone: the name goes
  };
  struct Op {
    enum class Kind { kWrite, kResize, kNames } kind;
    NodeId file = kNone;
    uint64_t offset = 0;  // or the new size
    std::string data{};
    bool durable = false;  // written through, after something that is not durable
    std::vector<Change> changes{};
    [[nodiscard]] NodeId FlushedWith() const;
  };
  struct Piece {  // of a write that is left
    const Op* op;
    uint64_t begin, end;
  };

  Node& At(NodeId id) { return nodes_.at(id); }
  void Touch(Node& node);
  void ChangeNames(std::vector<Change> changes);
  void ApplyNames(const Op& op, bool supersede);
  static void ApplyData(const Op& op, uint64_t begin, uint64_t end, std::string& bytes);
  [[nodiscard]] bool IsEmpty(NodeId directory);
  bool LeadsTo(NodeId directory, NodeId ancestor);
  void Restart();

  std::unordered_map<NodeId, Node> nodes_;
  NodeId next_ = kRoot + 1;
  std::list<Op> pending_;  // in the order of the calls
  bool lying_ = false;
};

}  // namespace lbox::powercut

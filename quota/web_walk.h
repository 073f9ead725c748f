// WebWalk: what lies in one web root, in allocated blocks.
//
// Purpose: the figure that `du -sx` gives, from a tree whose owner is not trusted and may change it
// meanwhile. Counted are files of every kind and directories by their own blocks, a file with
// several names once. Left out are other mounts and subvolumes (so snapshots of btrfs and ZFS),
// folders named in the options, and mail stores of a mail uid.
// Step by step, so that the caller's event loop goes on and the caller decides how fast: a walk
// never sleeps and reads no clock.
// Ownership: a walk owns its descriptors, at most kOpenDirectories and two. Threads: one.
// Bounds: depth, entries, time, and memory for directories still to come. Going over one, an entry
// that may not be read, or an error of the disk makes a result that is not complete; what vanishes
// meanwhile does not.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "quota/web_links.h"
#include "quota/web_open.h"

namespace hosting {

class RootIndex;

// Of a clock that only goes forward.
using WalkTime = std::chrono::steady_clock::time_point;

struct WebWalkOptions {
  std::optional<uint32_t> owner;  // uid that the root directory must have
  // Folders left out: absolute paths, or paths below the root. One that is not there is no error.
  std::vector<std::string> exclude;
  // A directory of one of these that looks like a mail store is left out. (By its looks alone a
  // customer could hide any folder from the count.)
  std::vector<uint32_t> mail_uids;
  // Where the roots of all accounts are (web_roots.h): other roots of this account are left out,
  // for they have figures of their own; a root of another account makes this one incomplete. May be
  // null; must outlive the walk.
  const RootIndex* roots = nullptr;
  std::string account;  // whose root this is, for `roots`

  uint32_t max_depth = 2048;                // of directories below the root; no path is longer
  uint64_t max_entries = 100'000'000;       // names
  std::chrono::seconds max_time{2 * 3600};  // from the first step to the last
  size_t max_pending = 64 << 20;            // bytes for names of directories still to come
  Resolve resolve = Resolve::kBest;
};

struct WebWalkResult {
  uint64_t allocated = 0;    // bytes
  uint64_t apparent = 0;     // bytes: sizes of regular files
  uint64_t files = 0;        // all but directories; hard links once
  uint64_t directories = 0;  // with the root
  uint64_t hard_links = 0;   // further names of files already counted
  uint64_t left_out = 0;     // directories and mount points that do not count
  uint64_t vanished = 0;     // names whose file was gone, or another, when it was looked at
  bool complete = false;
  std::string problem;  // when not complete: the first one, printable ASCII, at most kProblemBytes
  uint64_t milliseconds = 0;  // from the first step to the last
};

class WebWalk {
 public:
  static constexpr size_t kOpenDirectories = 64;
  static constexpr size_t kProblemBytes = 240;

  // `seen` is shared by the roots of an account and must outlive the walk.
  WebWalk(std::string root, WebWalkOptions options, SeenFiles* seen);

  // Looks at about `entries` names. True: that was the last step; the result stands.
  bool Step(uint64_t entries, WalkTime now);
  [[nodiscard]] bool done() const { return state_ == State::kDone; }
  [[nodiscard]] const WebWalkResult& result() const { return result_; }
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] uint64_t entries() const { return entries_; }     // looked at so far
  [[nodiscard]] std::string Where() const { return PathOf(""); }  // the directory that it is in

 private:
  enum class State { kNew, kWalking, kDone };

  // A directory on the way from the root to where the walk is.
  struct Level {
    Descriptor fd;  // closed when far above
    FileId id;
    std::string name;      // within the one above
    size_t first_pending;  // of its subdirectories still to come, in pending_
  };
  // One to come.
  struct Pending {
    std::string name;
    uint64_t inode;
  };
  // A name in listing_.
  struct Entry {
    uint64_t inode;
    const char* name;
  };

  void Begin();
  void Finish(WalkTime now);
  void Advance();  // one entry, one buffer of names, or one directory down or up
  bool ReadNames();
  void LookAt(const Entry& entry);
  void Count(const FileFacts& facts);
  void Postpone(const char* name, uint64_t inode);
  void Descend();
  void Enter(Descriptor fd, const FileFacts& facts, std::string name);
  void CloseFarAbove();
  // Up again. A level whose descriptor was closed is found as the one above, if it still is that.
  void Leave();
  // Whether a directory that was just opened does not count.
  bool LeftOut(const Descriptor& fd, const FileFacts& facts, const std::string& name);
  void CheckRootStillThere();

  std::string PathOf(std::string_view name) const;  // of an entry of the deepest level
  // Notes that the result is not complete, and why unless there was a problem before.
  void Problem(std::string_view name, std::string_view reason);
  // An errno value for an entry: gone is fine.
  void Lost(std::string_view name, int error);

  const std::string root_;
  const WebWalkOptions options_;
  SeenFiles* const seen_;

  State state_ = State::kNew;
  WalkTime began_;
  WebWalkResult result_;
  uint64_t entries_ = 0;
  bool stopped_ = false;  // at a bound
  FileFacts root_facts_;
  std::set<FileId> exclude_;
  std::vector<Level> levels_;
  size_t first_open_ = 1;  // levels_[1 .. first_open_) are closed; [0] never is
  std::vector<Pending> pending_;
  size_t pending_bytes_ = 0;
  std::vector<char> buffer_;    // as getdents64 fills it
  std::vector<Entry> listing_;  // what is in it; those from next_ on are still to be looked at
  size_t next_ = 0;
  bool listed_ = false;  // all names of the deepest level have been read
};

}  // namespace hosting

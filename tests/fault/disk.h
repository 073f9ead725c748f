// What a disk holds of a trace when the power goes.
//
// Purpose: follows a trace, and at any point of it writes out the folder as the next boot might
// find it. The rules are POSIX's, not those of any one file system, which promises more:
//   data and size of a file are durable by its flush, or at once when written through;
//   names are durable by a flush of their directory, of the directory alone, a new directory's own
//   name by that of its parent; of what is not durable, anything may be there or not, within the
//   limits of CutKind.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/fault/trace.h"

namespace lbox::testing {

enum class CutKind {
  kDropped,    // nothing that was not durable
  kPrefix,     // of what was not durable, the first part in the order of the calls
  kTorn,       // all of it, but of the last write, or the one under way, half
  kNames,      // all names, no data: files of size 0
  kScattered,  // any pages and names, whatever their order was
  kKilled,     // all of it: not the system died, only the process
};
inline constexpr CutKind kAllCuts[] = {CutKind::kDropped, CutKind::kPrefix,    CutKind::kTorn,
                                       CutKind::kNames,   CutKind::kScattered, CutKind::kKilled};
const char* CutName(CutKind kind);

class Disk {
 public:
  // `ignored`: flushes that the disk acknowledges and does not do, to show that a test notices.
  using Ignored = std::function<bool(const Op&)>;
  explicit Disk(const Trace& trace, Ignored ignored = nullptr);

  // Follows the trace up to before call `point`; only forward.
  void Advance(size_t point);
  [[nodiscard]] size_t point() const { return point_; }
  // True when a cut here would leave the same as one a call earlier.
  [[nodiscard]] bool unchanged() const { return unchanged_; }
  // Writes what a cut here leaves to the empty folder `to`.
  void Cut(CutKind kind, const std::string& to) const;

 private:
  static constexpr int kDirectory = -1;
  using Names = std::map<std::string, int>;   // of one directory
  using Tree = std::map<std::string, Names>;  // directory -> names
  struct Pending {
    const Op* op;
    bool durable;  // written through after something that is not durable
  };
  struct Piece {
    const Op* op;
    uint64_t begin, end;  // of its bytes
  };

  static void Change(Tree& tree, const Op& op);
  static void Change(std::string& bytes, const Op& op);
  void Apply(const Op& op);
  void Settle(const std::function<bool(const Op&)>& which, bool lost = false);
  void Choose(CutKind kind, Tree& tree, std::vector<Piece>& pieces) const;
  void WriteFolder(const Tree& tree, const std::vector<Piece>& pieces, const std::string& folder,
                   const std::string& to, bool junk) const;
  void WriteFile(int file, const std::vector<Piece>& pieces, const std::string& to,
                 bool junk) const;

  const Trace& trace_;
  const Ignored ignored_;
  size_t point_ = 0;
  bool unchanged_ = false;
  Tree tree_;                         // durable
  std::map<int, std::string> bytes_;  // durable
  std::vector<Pending> pending_;
};

}  // namespace lbox::testing

// SeenFiles: files with several names (hard links) that were counted already.
//
// Purpose: each is counted once, within a root and over all roots of an account. A flat table of 16
// bytes a slot, at most two thirds full, since backups made of hard links have millions of them.
// Ownership, threads: one walk of an account at a time. Failure modes: kFull, once `limit` files
// are in it; what is in it is still found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quota/web_open.h"

namespace hosting {

class SeenFiles {
 public:
  enum class Answer { kNew, kSeen, kFull };

  explicit SeenFiles(size_t limit) : limit_(limit) {}

  // Remembers the file.
  Answer Insert(const FileId& id);
  [[nodiscard]] size_t size() const { return size_; }

 private:
  size_t SlotOf(const FileId& id) const;  // where it is, or the free slot where it belongs
  void Grow();

  const size_t limit_;
  size_t size_ = 0;
  std::vector<FileId> slots_;  // a power of two of them; inode 0 is no file's: free
};

}  // namespace hosting

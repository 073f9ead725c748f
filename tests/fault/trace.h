// What a program did to the files under a folder, call by call.
//
// Purpose: recorded once, a trace shows what the disk would hold after a power cut at any point of
// it (tests/fault/disk.h), without running the program again. Names are relative to the folder.
// Directories are not removed or renamed. What LMDB does to its lock file through memory is not in
// it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fault/calls.h"

namespace lbox::testing {

struct Op {
  enum class Kind {
    kWrite,       // bytes at offset
    kResize,      // to size
    kExtend,      // to at least size
    kSync,        // of the file
    kSyncFailed,  // what was not durable then never will be, though the system goes on showing it
    kSyncDirectory,  // of `directory`
    kName,           // a name for the file, new or in place of another
    kUnname,
    kRename,  // within one directory: from `name` to `name2`
    kMakeDirectory,
  };
  Kind kind = Kind::kWrite;
  int file = -1;
  std::string path;  // the file's when it was opened, for messages and controls
  uint64_t offset = 0, size = 0;
  std::string bytes;
  bool through = false;  // a write that returns when it is durable (O_DSYNC)
  std::string directory, name, name2;

  [[nodiscard]] std::string ToString() const;
};

struct Trace {
  // What was there before, all durable.
  std::map<std::string, int> base_names;
  std::map<int, std::string> base_bytes;
  std::set<std::string> base_directories{""};
  std::vector<Op> ops;

  [[nodiscard]] Trace Until(size_t point) const;
};

// Records from its construction on, as long as it observes.
class Recorder : public CallObserver {
 public:
  explicit Recorder(std::string folder);
  // Goes on where another left off: the folder is as the program saw it at the end of `start`.
  Recorder(std::string folder, Trace start);
  void After(const Call& call, int64_t result) override;
  bool skip_flushes() const override { return true; }

  // Files and directories that are open now.
  [[nodiscard]] size_t open_files() const { return open_.size(); }

  Trace trace;

 protected:
  // The path relative to the folder; false: it is elsewhere.
  bool Relative(const char* path, std::string& relative) const;
  [[nodiscard]] bool Watched(const Call& call) const;
  [[nodiscard]] std::string PathOf(int fd) const;

 private:
  struct OpenFile {
    int file = -1;  // -1: a directory
    std::string path;
    bool through = false;
  };
  void Load(const std::string& relative);
  void Follow(const Op& op);
  Op& Add(Op::Kind kind);
  void Named(Op::Kind kind, const std::string& path, int file);
  void Opened(const Call& call, int fd);
  void Renamed(const Call& call);
  void Changed(const Call& call, const OpenFile& open, int64_t result);

  const std::string folder_;
  std::map<std::string, int> names_;  // as the running program sees them
  std::map<int, OpenFile> open_;
  int next_file_ = 0;
};

}  // namespace lbox::testing

// The quarantine: where repairing sets aside what it takes out of a store.
//
// Purpose: nothing that may be the only copy of something is removed. Each repair has a folder of
// its own, <store>/quarantine/<UTC time>, made when the first thing goes there; the operator looks
// through it and removes it. Ownership: one per repair. Failure: as Env; what is not safely in the
// folder is still in its old place. Crash rule: when a call has returned ok, what it did is durable
// (unless flushing is off).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/env.h"
#include "storage/pack_files.h"
#include "storage/status.h"

namespace lbox {

inline constexpr char kQuarantineName[] = "quarantine";

class Quarantine {
 public:
  // `files`: of the store.
  explicit Quarantine(FileOptions files) : files_(std::move(files)) {}

  // The folder; "" as long as there is none.
  [[nodiscard]] const std::string& path() const { return path_; }

  // Gives the file a second name in the folder (a copy where that cannot be): whatever happens to
  // the first, the bytes stay. Ok when it is there already.
  Status Keep(const std::string& path, const std::string& name);
  // Moves the file, of which nothing is left in its place. kNotFound when there is none.
  Status Move(const std::string& path, const std::string& name);
  // Writes a file anew, in place of one of that name.
  Status Write(const std::string& name, std::string_view bytes);

 private:
  Status MakeFolder();
  Status Copy(const std::string& from, const std::string& to);

  const FileOptions files_;
  std::string path_;
};

}  // namespace lbox

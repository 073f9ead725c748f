// What the tests of rebuilding share: a store told in full, an index lost, a boot of the machine.
#pragma once

#include <string>

#include "storage/env.h"
#include "storage/rebuild.h"
#include "storage/store.h"
#include "tests/fault/driver.h"

namespace lbox::testing {

// Every value that a rebuild must bring back, as text; counters that jump ahead are left out.
// `next_uids`: these, too.
Result<std::string> TellAll(Store& store, bool next_uids);

// What of an index is taken away from a closed store.
struct Loss {
  bool index = true, copy = false, journal = false, current = false;
};
void Lose(const std::string& store, const Loss& loss);

// Rebuilds; a failure to is a test's failure.
RebuildReport MustRebuild(const StoreOptions& options);

// The model takes over counters that may jump ahead; that they never go back is checked.
void FollowJumps(Driver& driver, bool exact_next_uids);

// Adds a failure for each message of `model` that the store does not have in its place, unless its
// body is there in another; and for UIDs that could be given again.
std::vector<std::string> Missing(Store& store, const Model& model);

// The file system of another boot of the machine.
class OtherBoot : public Env {
 public:
  Result<std::unique_ptr<File>> OpenRead(const std::string& path) override;
  Result<std::unique_ptr<File>> OpenReadWrite(const std::string& path) override {
    return base_.OpenReadWrite(path);
  }
  Result<std::unique_ptr<File>> Create(const std::string& path, bool exclusive, uint32_t mode,
                                       int64_t gid) override {
    return base_.Create(path, exclusive, mode, gid);
  }
  Status MakeDirectory(const std::string& path, uint32_t mode, int64_t gid) override {
    return base_.MakeDirectory(path, mode, gid);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return base_.Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return base_.Link(from, to);
  }
  Status Unlink(const std::string& path) override { return base_.Unlink(path); }
  Status SyncDirectory(const std::string& path) override { return base_.SyncDirectory(path); }
  Result<FileInfo> Stat(const std::string& path) override { return base_.Stat(path); }
  Status List(const std::string& path,
              const std::function<void(const std::string& name)>& visit) override {
    return base_.List(path, visit);
  }

 private:
  Env& base_ = *Env::Default();
};

}  // namespace lbox::testing

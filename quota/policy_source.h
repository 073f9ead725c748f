// PolicySource: the policy in use, from the file, or from the last good snapshot while the file is
// bad.
//
// Purpose: loading and reloading, shared by hosting-usage (which keeps the snapshot) and doveadm
// (which only checks: no snapshot path). Ownership: owns the policy in use; who keeps what points
// into one (Effective) keeps its shared_ptr, since a reload makes another. Process rules: one
// thread; the snapshot has one writer. Failure modes: never throws and never fails: what is wrong
// comes as lines for the caller to log, and there is always a policy, in the worst case an empty
// one, under which nothing is limited. Crash rule: see policy_snapshot.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quota/policy.h"
#include "quota/policy_file.h"
#include "quota/policy_path.h"
#include "quota/policy_snapshot.h"

namespace hosting {

// A policy with what is needed to ask it. Stays as it is.
struct LoadedPolicy {
  explicit LoadedPolicy(PolicySnapshot read) : snapshot(std::move(read)), index(snapshot.policy) {}
  LoadedPolicy(const LoadedPolicy&) = delete;
  LoadedPolicy& operator=(const LoadedPolicy&) = delete;

  const PolicySnapshot snapshot;
  const PolicyIndex index;
};

class PolicySource {
 public:
  struct Options {
    std::string file;           // absolute
    std::string snapshot_path;  // empty: no snapshot is read or written
    PathRules rules;
    PolicyNames names = PolicyNames::System();
    std::string login_table = {};  // empty: none is written
  };
  enum class From { kFile, kSnapshot, kNothing };
  struct Outcome {
    From from = From::kNothing;         // where the policy in use comes from
    bool changed = false;               // it is another one than before
    std::vector<std::string> errors;    // a line each, "file:line:column: expected ..."
    std::vector<std::string> warnings;  // a line each
    [[nodiscard]] bool ok() const { return errors.empty(); }
  };

  explicit PolicySource(Options options);

  // At start. A good file is used, and written as the snapshot if that has another one; else the
  // last good snapshot; else the empty policy.
  Outcome Load();
  // Whether the file is another one than at the last Load or Reload, good or bad. One stat; to be
  // asked every second or so.
  bool Changed();
  // Reads the file again. A bad file leaves the policy that is in use.
  Outcome Reload();

  // Never null.
  [[nodiscard]] std::shared_ptr<const LoadedPolicy> current() const { return current_; }
  [[nodiscard]] const PolicyIndex& index() const { return current_->index; }
  [[nodiscard]] const Policy& policy() const { return current_->snapshot.policy; }
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  bool TakeFile(Outcome& outcome);
  void TakeSnapshot(Outcome& outcome);
  void KeepSnapshot(PolicySnapshot& snapshot, Outcome& outcome);
  void KeepLoginTable(Outcome& outcome);
  Outcome Guarded(void (PolicySource::*work)(Outcome&));
  void DoLoad(Outcome& outcome);
  void DoReload(Outcome& outcome);

  const Options options_;
  std::shared_ptr<const LoadedPolicy> current_;
  From from_ = From::kNothing;
  FileIdentity seen_;   // of the file that was read last; zeros: there was none
  bool fresh_ = false;  // it may have changed since without looking different
};

}  // namespace hosting

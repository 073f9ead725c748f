#include "quota/policy_source.h"

#include <algorithm>
#include <exception>

#include "quota/login_table.h"

namespace hosting {

PolicySource::PolicySource(Options options)
    : options_(std::move(options)), current_(std::make_shared<LoadedPolicy>(PolicySnapshot{})) {}

PolicySource::Outcome PolicySource::Guarded(void (PolicySource::*work)(Outcome&)) {
  Outcome outcome;
  const auto before = current_;
  try {
    (this->*work)(outcome);
  } catch (const std::exception& error) {  // out of memory
    outcome.errors.push_back(options_.file + ": " + error.what());
  }
  outcome.from = from_;
  outcome.changed = current_ != before;
  return outcome;
}

PolicySource::Outcome PolicySource::Load() {
  return Guarded(&PolicySource::DoLoad);
}

PolicySource::Outcome PolicySource::Reload() {
  return Guarded(&PolicySource::DoReload);
}

void PolicySource::DoLoad(Outcome& outcome) {
  if (!TakeFile(outcome)) {
    TakeSnapshot(outcome);
  }
}

void PolicySource::DoReload(Outcome& outcome) {
  if (!TakeFile(outcome)) {
    outcome.errors.push_back(options_.file + ": the policy in use stays");
  }
}

// Whether the file is in use now.
bool PolicySource::TakeFile(Outcome& outcome) {
  // What is there now, for the case that it cannot be read.
  const auto status = StatPolicy(options_.file);
  seen_ = status.ok() ? *status : FileIdentity{};
  fresh_ = false;
  auto read = ReadPolicyText(options_.file, options_.rules);
  if (!read.ok()) {
    outcome.errors.push_back(options_.file + ": " + read.status().message());
    return false;
  }
  seen_ = read->identity;
  fresh_ = read->fresh;
  ParsedPolicy parsed = ParsePolicy(read->text, options_.names);
  for (const Problem& warning : parsed.warnings) {
    outcome.warnings.push_back(FormatProblem(options_.file, warning));
  }
  for (const Problem& problem : parsed.problems) {
    outcome.errors.push_back(FormatProblem(options_.file, problem));
  }
  if (!parsed.problems.empty()) {
    return false;
  }
  PolicySnapshot snapshot{current_->snapshot.generation, read->identity, std::move(parsed.policy)};
  if (from_ == From::kFile && snapshot.file == current_->snapshot.file &&
      EncodeSnapshot(snapshot) == EncodeSnapshot(current_->snapshot)) {
    return true;  // and what it names is what it was
  }
  if (!options_.snapshot_path.empty()) {
    KeepSnapshot(snapshot, outcome);
  }
  current_ = std::make_shared<LoadedPolicy>(std::move(snapshot));
  from_ = From::kFile;
  KeepLoginTable(outcome);
  return true;
}

// Gives the snapshot its generation, and writes it unless the file has just this one.
void PolicySource::KeepSnapshot(PolicySnapshot& snapshot, Outcome& outcome) {
  const auto kept = ReadSnapshotHeader(options_.snapshot_path);
  if (kept.ok()) {
    snapshot.generation = kept->generation;
  }
  std::string bytes = EncodeSnapshot(snapshot);
  const auto made = DecodeSnapshotHeader(bytes);
  if (kept.ok() && made.ok() && *kept == *made) {
    return;
  }
  snapshot.generation = std::max(snapshot.generation, current_->snapshot.generation) + 1;
  const Status written = WriteSnapshotBytes(options_.snapshot_path,
                                            WithGeneration(std::move(bytes), snapshot.generation));
  if (!written.ok()) {
    outcome.errors.push_back("cannot keep the policy for a restart: " + written.message());
  }
}

// Writes what auth reads, unless the file has just this.
void PolicySource::KeepLoginTable(Outcome& outcome) {
  if (options_.login_table.empty()) {
    return;
  }
  const std::string bytes =
      EncodeLoginTable(current_->snapshot.policy, current_->snapshot.generation);
  const auto kept = ReadUpTo(options_.login_table, bytes.size() + 1);
  if (kept.ok() && *kept == bytes) {
    return;
  }
  const Status written = WriteSnapshotBytes(options_.login_table, bytes);
  if (!written.ok()) {
    outcome.errors.push_back("logins go on with the policy as it was: " + written.message());
  }
}

void PolicySource::TakeSnapshot(Outcome& outcome) {
  if (options_.snapshot_path.empty()) {
    return;
  }
  auto snapshot = ReadSnapshot(options_.snapshot_path);
  if (!snapshot.ok()) {
    outcome.errors.push_back("no policy, nothing is limited: " + snapshot.status().message());
    return;
  }
  outcome.errors.push_back(options_.file + ": the last good policy is used, as of " +
                           options_.snapshot_path + ", generation " +
                           std::to_string(snapshot->generation));
  current_ = std::make_shared<LoadedPolicy>(std::move(*snapshot));
  from_ = From::kSnapshot;
  KeepLoginTable(outcome);
}

bool PolicySource::Changed() {
  const auto status = StatPolicy(options_.file);
  FileIdentity now = status.ok() ? *status : FileIdentity{};
  now.hash = seen_.hash;
  if (status.ok() ? now != seen_ : seen_ != FileIdentity{}) {
    return true;
  }
  if (!fresh_) {
    return false;
  }
  // The times cannot tell: its content does.
  const auto read = ReadPolicyText(options_.file, options_.rules);
  fresh_ = read.ok() && read->fresh;
  return !read.ok() || read->identity != seen_;
}

}  // namespace hosting

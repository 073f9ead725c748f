// State: how far one user's move is, on disk.
//
// Purpose: a migration that was killed goes on where it was, and one that is done is not done
// again. One file a user in the migration's folder. Ownership: values; StateFile holds the user's
// lock until it is destroyed, so no two migrations move the same user. Crash rule: Save() replaces
// the file and is durable when it returns. No Dovecot header.
#pragma once

#include <cstdint>
#include <string>

#include "plugin/migrate-rows.h"
#include "quota/descriptor.h"
#include "storage/status.h"

namespace lbox::migrate {

enum class Phase {
  kNone,
  kCopying,    // the userdb says the source
  kSwitching,  // the hook may have been run: the userdb has to be asked
  kSwitched,   // the userdb says the target; what slipped into the source has to be looked for
  kDone,
};

struct State {
  Phase phase = Phase::kNone;
  std::string source, target;  // as given
  std::string token;           // of the run that wrote this
  uint64_t messages = 0, bytes_before = 0, bytes_after = 0;
  uint64_t seconds = 0, closed_milliseconds = 0;
  Uids next;  // UIDNEXT of the source's mailboxes at the switch

  [[nodiscard]] std::string Encode() const;
  static Result<State> Decode(std::string_view text);
};

const char* PhaseName(Phase phase);

class StateFile {
 public:
  // kBusy when another process has it.
  static Result<StateFile> Open(const std::string& folder, const std::string& user);

  // kNone where there is none.
  [[nodiscard]] Result<State> Load() const;
  [[nodiscard]] Status Save(const State& state) const;

 private:
  StateFile(std::string path, hosting::Descriptor lock, hosting::Descriptor folder)
      : path_(std::move(path)), lock_(std::move(lock)), folder_(std::move(folder)) {}

  std::string path_;
  hosting::Descriptor lock_, folder_;
};

}  // namespace lbox::migrate

// Move: one user's way from one storage to another, from wherever the last run left it.
//
// Purpose: the order of things. Copy while mail flows until a pass is short; compare every message;
// then the switch: keep everyone out for a bounded time, copy and compare what is new, have the
// hook change the userdb, see that it has; then look for what slipped into the old storage
// meanwhile. Ownership: an object is one user's. Process rules: a process of its own for each user
// (it takes the user's rights for moments), as root. Crash rule: may be killed anywhere; Run() of a
// later process goes on. Before the hook the source is the user's mail and the copy is thrown over;
// from the hook on only the userdb tells. No Dovecot header.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plugin/migrate-commands.h"
#include "plugin/migrate-door.h"
#include "plugin/migrate-state.h"

namespace lbox::migrate {

struct Plan {
  Place source, target;
  Tools tools;
  std::string folder;  // of the states
  std::chrono::seconds tempfail{30};
  bool dry_run = false;
};

struct Report {
  enum class Result { kDone, kSkipped, kWould, kDiffers, kFailed };
  Result result = Result::kFailed;
  std::string text;  // why, and what to do
  std::vector<std::string> differences;
  uint64_t messages = 0, bytes_before = 0, bytes_after = 0;
  uint64_t seconds = 0, closed_milliseconds = 0;
};

const char* ResultName(Report::Result result);

class Move {
 public:
  using Clock = std::chrono::steady_clock;

  // tell: what is being done now.
  Move(const Plan& plan, std::string user, std::function<void(const std::string&)> tell);
  Report Run();

 private:
  // What a step leads to: nothing is the next step.
  using End = std::optional<Report>;
  struct Attempt {
    bool switched = false;
    bool again = false;   // it may go better in a moment
    bool stayed = false;  // the userdb has been asked, and says the source
    Report report;
  };

  End Begin();
  End CheckResidence();
  End OpenDoor();
  End Copy();
  Status StartAnew();
  End Verify();
  Attempt Switch();
  std::optional<Attempt> CloseDoor();
  std::optional<Attempt> CopyLast();
  std::optional<Attempt> CallHook();
  Attempt AskUserdb();
  [[nodiscard]] Result<Residence> FreshResidence();
  End Resume();
  Report Settle();
  End CatchUp(const Place& old, const Place& current, Uids& next);

  Report Fail(const std::string& text, Report::Result result = Report::Result::kFailed) const;
  Report Fail(const Status& status) const { return Fail(status.message()); }
  Attempt Reopen(bool again, Report report);
  Status Save(Phase phase);
  [[nodiscard]] Gate Copying() const;
  [[nodiscard]] Gate Closed(Clock::time_point deadline) const;
  [[nodiscard]] Gate Moved() const;
  [[nodiscard]] Clock::duration Short() const;

  const Plan& plan_;
  const std::string user_;
  std::function<void(const std::string&)> tell_;
  Clock::time_point began_ = Clock::now(), closed_at_, deadline_;
  std::optional<StateFile> file_;
  State state_;
  std::optional<Commands> commands_;
  std::optional<Door> door_;
  Residence source_, target_;
  Uids verified_;
  std::optional<Uids> left_;  // UIDNEXT of what is now the target, when a move away from it ended
  bool compared_ = false;
  std::string aside_;      // where the target of before is now
  bool called_ = false;    // the hook, by this run
  std::string hook_said_;  // when it failed
};

}  // namespace lbox::migrate

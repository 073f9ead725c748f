#include "plugin/migrate-move.h"

#include <algorithm>
#include <array>
#include <ctime>

#include <sys/random.h>
#include <unistd.h>

#include "plugin/migrate-strays.h"
#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kPasses = 10;
constexpr int kAttempts = 4;
constexpr seconds kBetweenAttempts{2};
constexpr seconds kHookGrace{60};
constexpr milliseconds kUserdbPatience{5000};
constexpr milliseconds kUserdbMoment{1500};  // a passwd-file is looked at once a second
constexpr useconds_t kUserdbPauseMicroseconds = 300000;

std::string NewToken() {
  std::array<unsigned char, 16> bytes{};
  (void)getrandom(bytes.data(), bytes.size(), 0);
  std::string text;
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const unsigned char byte : bytes) {
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    all += (all.empty() ? "" : ", ") + text;
  }
  return all;
}

std::string Shown(const Residence& residence) {
  return residence.driver + ":" + residence.root;
}

void Pause(seconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!StopRequested() && std::chrono::steady_clock::now() < until) {
    (void)usleep(100000);
  }
}

}  // namespace

const char* ResultName(Report::Result result) {
  constexpr std::array<const char*, 5> kNames = {"done", "skipped", "would move", "differs",
                                                 "failed"};
  return kNames[static_cast<size_t>(result)];
}

Move::Move(const Plan& plan, std::string user, std::function<void(const std::string&)> tell)
    : plan_(plan), user_(std::move(user)), tell_(std::move(tell)) {}

Report Move::Run() {
  for (const auto step : {&Move::Begin, &Move::CheckResidence, &Move::OpenDoor, &Move::Resume}) {
    if (End end = (this->*step)()) {
      return *end;
    }
  }
  Attempt attempt;
  for (int tries = 0; tries < kAttempts && !StopRequested(); ++tries) {
    if (tries > 0) {
      tell_("waiting: " + attempt.report.text);
      Pause(kBetweenAttempts * tries);
    }
    for (const auto step : {&Move::Copy, &Move::Verify}) {
      if (End end = (this->*step)()) {
        return *end;
      }
    }
    attempt = Switch();
    if (attempt.switched) {
      return Settle();
    }
    if (!attempt.again) {
      return attempt.report;
    }
  }
  return StopRequested() ? Fail("stopped; run it again to go on") : attempt.report;
}

Report Move::Fail(const std::string& text, Report::Result result) const {
  Report report;
  report.result = result;
  report.text = text;
  report.messages = state_.messages;
  report.bytes_before = state_.bytes_before;
  report.seconds = static_cast<uint64_t>(duration_cast<seconds>(Clock::now() - began_).count());
  return report;
}

Status Move::Save(Phase phase) {
  state_.phase = phase;
  return file_->Save(state_);
}

// A pass or comparison that is short enough to be made once more while the user is kept out.
Move::Clock::duration Move::Short() const {
  return std::min<Clock::duration>(plan_.tempfail / 4, seconds(10));
}

// The lock, what earlier runs have left, and the token.
Move::End Move::Begin() {
  auto file = StateFile::Open(plan_.folder, user_);
  if (!file.ok()) {
    return Fail(file.status());
  }
  file_ = std::move(file.value());
  auto state = file_->Load();
  if (!state.ok()) {
    return Fail(state.status());
  }
  state_ = std::move(state.value());
  const bool same = state_.source == plan_.source.text && state_.target == plan_.target.text;
  if (state_.phase == Phase::kDone && state_.source == plan_.target.text &&
      state_.target == plan_.source.text) {
    left_ = state_.next;  // as it was left; from here on it is only a copy
  }
  const bool halfway = state_.phase == Phase::kSwitching || state_.phase == Phase::kSwitched;
  if (halfway && !same) {
    return Fail("a move from " + state_.source + " to " + state_.target +
                " was interrupted at its very end: run that again first");
  }
  if (!state_.token.empty() && !plan_.dry_run) {
    (void)EndLeftBehind(std::string(kTokenVariable) + "=" + state_.token,
                        state_.phase == Phase::kSwitching ? kHookGrace : seconds(0));
  }
  if (!halfway && (!same || state_.phase == Phase::kDone)) {
    const std::string token = state_.token;
    state_ = State();
    state_.token = token;  // the gate file may still be there
  }
  if (state_.token.empty()) {
    state_.token = NewToken();
  }
  state_.source = plan_.source.text;
  state_.target = plan_.target.text;
  commands_.emplace(plan_.tools, user_, state_.token);
  return std::nullopt;
}

Move::End Move::CheckResidence() {
  tell_("looking");
  auto now = commands_->Where(nullptr), source = commands_->Where(&plan_.source),
       target = commands_->Where(&plan_.target);
  for (const auto* residence : {&now, &source, &target}) {
    if (!residence->ok()) {
      return Fail(residence->status());
    }
  }
  source_ = source.value();
  target_ = target.value();
  if (source_ == target_) {
    return Fail("source and target are the same: " + Shown(source_));
  }
  if (state_.phase == Phase::kSwitching || state_.phase == Phase::kSwitched) {
    return std::nullopt;  // Resume() asks again
  }
  if (now.value() == target_) {
    if (state_.phase == Phase::kCopying) {
      return Fail("the userdb already says " + Shown(target_) +
                  ", though the copy is not finished: set it back to " + Shown(source_) +
                  " and run this again");
    }
    return Fail("already in " + Shown(target_), Report::Result::kSkipped);
  }
  if (!(now.value() == source_)) {
    return Fail("the userdb says " + Shown(now.value()) + ", not " + Shown(source_));
  }
  if (plan_.dry_run) {
    state_.bytes_before = AllocatedBytes(source_.root);
    return Fail("from " + Shown(source_) + " to " + Shown(target_), Report::Result::kWould);
  }
  return std::nullopt;
}

Move::End Move::OpenDoor() {
  if (plan_.dry_run) {
    return Fail("the move is to be finished", Report::Result::kWould);
  }
  if (state_.phase == Phase::kNone) {
    if (Status status = Save(Phase::kCopying); !status.ok()) {
      return Fail(status);
    }
  }
  // Whom an earlier run has kept out stays out: some may still be told of the old storage.
  auto door = Door::Open(source_.home, source_.uid, source_.gid,
                         state_.phase == Phase::kSwitching  ? Closed(Clock::now() + plan_.tempfail)
                         : state_.phase == Phase::kSwitched ? Moved()
                                                            : Copying());
  if (!door.ok()) {
    return Fail(door.status());
  }
  door_ = std::move(door.value());
  // Who has the user open does not hold the lock: the file was not there. Clients come back at
  // once.
  commands_->Kick();
  return std::nullopt;
}

// What lies in the target from before contradicts the source, and dsync cannot remove it.
Status Move::StartAnew() {
  if (source_.home.starts_with(target_.root)) {
    return Status(Code::kUnsupported, target_.root + " holds other mail: move it away");
  }
  auto aside = SetAside(target_.root, source_.uid, source_.gid, time(nullptr));
  if (!aside.ok()) {
    return aside.status();
  }
  aside_ = aside.value();
  return commands_->Backup(plan_.source, plan_.target, true);
}

Move::End Move::Copy() {
  if (left_) {
    if (End end = CatchUp(plan_.target, plan_.source, *left_)) {
      return end;
    }
    left_.reset();
  }
  for (int pass = 1; pass <= kPasses && !StopRequested(); ++pass) {
    tell_("copying, pass " + std::to_string(pass));
    const auto began = Clock::now();
    Status status = commands_->Backup(plan_.source, plan_.target, true);
    if (status.code() == Code::kCorruption && aside_.empty()) {
      status = StartAnew();
    }
    if (!status.ok()) {
      return Fail(status);
    }
    if (Clock::now() - began < Short()) {
      break;
    }
  }
  return std::nullopt;
}

// Bodies, while mail flows.
Move::End Move::Verify() {
  tell_("comparing");
  const auto began = Clock::now();
  auto compared = commands_->Compare(plan_.source, plan_.target, Strictness::kFlowing,
                                     compared_ ? &verified_ : nullptr);
  if (!compared.ok()) {
    return Fail(compared.status());
  }
  if (compared->differences.count > 0) {
    Report report = Fail("the copy differs in " + std::to_string(compared->differences.count) +
                             " things; the user stays where he is",
                         Report::Result::kDiffers);
    report.differences = std::move(compared->differences.texts);
    return report;
  }
  verified_ = std::move(compared->verified);
  compared_ = true;
  state_.messages = compared->messages;
  state_.bytes_before = AllocatedBytes(source_.root);
  return Clock::now() - began < Short() ? std::nullopt : Copy();
}

Gate Move::Copying() const {
  Gate gate;
  gate.token = state_.token;
  return gate;
}

Gate Move::Closed(Clock::time_point deadline) const {
  Gate gate = Copying();
  gate.state = Gate::State::kClosed;
  gate.until = time(nullptr) + duration_cast<seconds>(deadline - Clock::now()).count();
  return gate;
}

Gate Move::Moved() const {
  Gate gate = Copying();
  gate.state = Gate::State::kMoved;
  gate.driver = target_.driver;
  gate.until = time(nullptr) + kMovedSeconds;
  return gate;
}

Move::Attempt Move::Reopen(bool again, Report report) {
  (void)door_->Write(Copying());
  door_->Unlock();
  Attempt attempt;
  attempt.again = again;
  attempt.report = std::move(report);
  return attempt;
}

Move::Attempt Move::Switch() {
  tell_("switching");
  for (const auto step : {&Move::CloseDoor, &Move::CopyLast, &Move::CallHook}) {
    if (auto attempt = (this->*step)()) {
      return *attempt;
    }
  }
  return AskUserdb();
}

// From here on nobody opens the user; waits until nobody has.
std::optional<Move::Attempt> Move::CloseDoor() {
  closed_at_ = Clock::now();
  deadline_ = closed_at_ + plan_.tempfail;
  const auto patience = closed_at_ + plan_.tempfail / 3;
  if (Status status = door_->Write(Closed(deadline_)); !status.ok()) {
    return Reopen(false, Fail(status));
  }
  commands_->Kick();
  if (!door_->Lock(patience)) {
    return Reopen(true, Fail("somebody keeps the user open: see doveadm who " + user_));
  }
  // Those who had the user open before the gate file was there do not have its lock.
  const std::string mark = std::string(kTokenVariable) + "=" + state_.token;
  auto others = UsersOf(source_.root, mark);
  while (!others.empty()) {
    if (Clock::now() > patience || StopRequested()) {
      return Reopen(true, Fail("processes have " + source_.root + " open: " + Shown(others)));
    }
    (void)usleep(100000);
    others = UsersOf(source_.root, mark);
  }
  return std::nullopt;
}

std::optional<Move::Attempt> Move::CopyLast() {
  if (Status status = commands_->Backup(plan_.source, plan_.target, false); !status.ok()) {
    return Reopen(true, Fail(status));
  }
  auto compared = commands_->Compare(plan_.source, plan_.target, Strictness::kAll, &verified_);
  if (!compared.ok()) {
    return Reopen(true, Fail(compared.status()));
  }
  if (compared->differences.count > 0) {
    Report report = Fail("the copy differs in " + std::to_string(compared->differences.count) +
                             " things at the switch; the user stays where he is",
                         Report::Result::kDiffers);
    report.differences = std::move(compared->differences.texts);
    return Reopen(true, std::move(report));
  }
  state_.messages = compared->messages;
  state_.next = std::move(compared->next);
  return std::nullopt;
}

std::optional<Move::Attempt> Move::CallHook() {
  const auto left = duration_cast<milliseconds>(deadline_ - Clock::now());
  if (left < plan_.tempfail / 3 || StopRequested()) {
    return Reopen(true, Fail("copying and comparing what was new took too long for " +
                             std::to_string(plan_.tempfail.count()) + " seconds"));
  }
  if (Status status = Save(Phase::kSwitching); !status.ok()) {
    return Reopen(false, Fail(status));
  }
  tell_("hook");
  const Outcome hook = commands_->Hook(plan_.source, plan_.target, left - milliseconds(1000));
  called_ = true;
  hook_said_ = hook.ok() ? "" : "the hook failed: " + hook.Describe();
  return std::nullopt;
}

Result<Residence> Move::FreshResidence() {
  if (Status status = commands_->ForgetLogin(); !status.ok()) {
    return status;
  }
  return commands_->Where(nullptr);
}

// Only the userdb tells where the user is now. It may take a moment to see what the hook has done.
Move::Attempt Move::AskUserdb() {
  const auto patience =
      std::min(Clock::now() + (called_ && hook_said_.empty() ? kUserdbPatience : kUserdbMoment),
               deadline_ - seconds(1));
  auto now = FreshResidence();
  while (now.ok() && now.value() == source_ && Clock::now() < patience) {
    (void)usleep(kUserdbPauseMicroseconds);
    now = FreshResidence();
  }
  if (!now.ok()) {
    // The door opens by itself at its time, and the next run asks again.
    Attempt attempt;
    attempt.report = Fail("after the hook, the userdb could not be asked (" +
                          now.status().message() + "): run it again");
    return attempt;
  }
  if (now.value() == target_) {
    state_.closed_milliseconds =
        static_cast<uint64_t>(duration_cast<milliseconds>(Clock::now() - closed_at_).count());
    Attempt attempt;
    attempt.switched = true;
    return attempt;
  }
  if (hook_said_.empty()) {
    hook_said_ = "the userdb still says " + Shown(now.value()) + " after the hook";
  }
  // What a hook that failed has begun may take effect later: so the next run asks first.
  Attempt attempt = Reopen(false, Fail(hook_said_));
  attempt.stayed = now.value() == source_;
  return attempt;
}

// Goes on behind the hook, where an earlier run was killed.
Move::End Move::Resume() {
  if (state_.phase == Phase::kCopying) {
    return std::nullopt;
  }
  if (state_.phase == Phase::kSwitched) {
    return Settle();
  }
  tell_("asking the userdb");
  if (auto attempt = CloseDoor()) {
    return attempt->report;
  }
  const Attempt attempt = AskUserdb();
  if (attempt.switched) {
    return Settle();
  }
  if (!attempt.stayed) {
    return attempt.report;
  }
  // The hook has not been run, or has not done it: from the start.
  hook_said_.clear();
  if (Status status = Save(Phase::kCopying); !status.ok()) {
    return Fail(status);
  }
  return std::nullopt;
}

Report Move::Settle() {
  tell_("looking for late mail");
  Status status = door_->Write(Moved());
  door_->Unlock();
  if (status.ok()) {
    status = Save(Phase::kSwitched);
  }
  if (!status.ok()) {
    return Fail(status);
  }
  if (End end = CatchUp(plan_.source, plan_.target, state_.next)) {
    return *end;
  }
  state_.bytes_after = AllocatedBytes(target_.root);
  state_.seconds += static_cast<uint64_t>(duration_cast<seconds>(Clock::now() - began_).count());
  if (status = Save(Phase::kDone); !status.ok()) {
    return Fail(status);
  }
  std::string text = hook_said_.empty() ? "" : hook_said_ + " (but the userdb is changed). ";
  if (!aside_.empty()) {
    text += "What was there before is in " + aside_;
  }
  Report report = Fail(text, Report::Result::kDone);
  report.bytes_after = state_.bytes_after;
  report.closed_milliseconds = state_.closed_milliseconds;
  return report;
}

// Messages that came into `old` when it was no longer the user's mail, which is `current`.
Move::End Move::CatchUp(const Place& old, const Place& current, Uids& next) {
  const Uids before = next;
  const auto grown = commands_->Grown(old, next);
  if (!grown.ok()) {
    return Fail(grown.status());
  }
  if (grown->empty()) {
    return std::nullopt;
  }
  for (const std::string& mailbox : grown.value()) {
    if (Status status = commands_->Add(old, current, mailbox); !status.ok()) {
      return Fail(status);
    }
  }
  const auto missing = commands_->Missing(old, current, before);
  if (!missing.ok()) {
    return Fail(missing.status());
  }
  if (!missing->empty()) {
    return Fail("late messages are only in " + old.text + ", GUIDs " + Joined(missing.value()));
  }
  return std::nullopt;
}

}  // namespace lbox::migrate

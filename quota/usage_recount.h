// RecountQueue: who waits for a recount, who is being counted, and in which order.
//
// Purpose: each user once, the most urgent first, with a back-off for those who could not be
// counted. Ownership: of UsageService; the link to hosting-recount takes from it. Process rules:
// one thread, no clock of its own. Crash rule: none; the ledger's rows say who waits, and the queue
// is filled from them at the start.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace hosting {

class RecountQueue {
 public:
  enum class Urgency : uint8_t {
    kUnsure,   // enforcing waits for it
    kLost,     // a session ended without saying what it did
    kFirst,    // a mailbox that nobody has counted yet
    kRegular,  // the interval has passed
  };
  enum class Answer : uint8_t { kDone, kTryAgain };
  struct Job {
    std::string user;
    bool force = false;  // each message's size is looked up again
  };

  // Puts a user in, or raises the urgency. One that is being counted will be counted again.
  void Add(const std::string& user, Urgency urgency, int64_t now_ms, bool force = false);
  void Remove(const std::string& user);
  // A count of the user has come: nobody has to count any more, but whoever does may still answer.
  void Settle(const std::string& user);
  // Whom to count now: is being counted from then on.
  std::optional<Job> Take(int64_t now_ms);
  void Answered(const std::string& user, Answer answer, int64_t now_ms);
  // The counting process has gone: all that it was counting wait again.
  void Lost(int64_t now_ms);

  // True when what is being counted now (or comes uncalled for) says all: nothing happened since it
  // was taken.
  [[nodiscard]] bool Current(const std::string& user) const;
  // The urgency of a user who waits.
  [[nodiscard]] std::optional<Urgency> UrgencyOf(const std::string& user) const;
  [[nodiscard]] size_t waiting() const { return entries_.size() - counting_; }
  [[nodiscard]] size_t counting() const { return counting_; }

 private:
  static constexpr size_t kUrgencies = 4;
  struct Entry {
    Urgency urgency = Urgency::kRegular;
    bool counting = false;
    bool again = false;  // something happened since it was taken
    bool force = false;
    int64_t due_ms = 0;
    int64_t delay_ms = 0;
  };
  using Due = std::set<std::pair<int64_t, std::string>>;

  void Wait(const std::string& user, Entry& entry);

  std::map<std::string, Entry> entries_;
  std::array<Due, kUrgencies> due_;
  size_t counting_ = 0;
};

}  // namespace hosting

// Progress: what `doveadm lbox migrate` shows while it works: users done, and how long it may take.
//
// Ownership: values. Time is passed in. No I/O, cannot fail; no Dovecot header.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lbox::migrate {

class Progress {
 public:
  Progress(uint64_t users, double now) : users_(users), began_(now) {}

  void Begin(const std::string& user) { doing_[user] = "starting"; }
  void Tell(const std::string& user, std::string what) { doing_[user] = std::move(what); }
  // moved: it took its time, so it counts for how long the rest may take; others are done at once.
  void End(const std::string& user, bool moved);

  // Seconds that the rest may take; -1: not known yet.
  [[nodiscard]] int64_t Eta(double now) const;
  // "[#####-----]  12/40 users, 0:34 left, 3 at work: alice copying, pass 1", cut to `width`.
  [[nodiscard]] std::string Bar(double now, size_t width) const;

 private:
  uint64_t users_;
  double began_;
  uint64_t ended_ = 0, moved_ = 0;
  std::map<std::string, std::string> doing_;
};

}  // namespace lbox::migrate

// The file that stands between a user's mail and everyone who wants to open it, while `doveadm lbox
// migrate` moves the user.
//
// Purpose: its name, its content, and what the content means to a process that is about to open the
// user. The file lies in the user's home and belongs to the user. Processes that open the user hold
// a shared flock on it for as long as they have the user open; the migration has it exclusively
// once nobody has. Crash rule: what the file forbids it forbids until a time, so a migration that
// was killed keeps nobody out for longer. No I/O, cannot fail; no Dovecot header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lbox::migrate {

inline constexpr char kGateName[] = ".lbox-migrate";
// Set in the migration's own children: what the file says does not hold for them.
inline constexpr char kTokenVariable[] = "LBOX_MIGRATE_TOKEN";
// Likewise: bytes a second that the process may read from and write to disk.
inline constexpr char kIoVariable[] = "LBOX_MIGRATE_IO";

inline constexpr int64_t kMaxClosedSeconds = 60;
// A hibernated session comes back with what the userdb said when it logged in.
inline constexpr int64_t kMovedSeconds = 7 * 24 * 3600;

struct Gate {
  enum class State {
    kCopying,  // open; whoever opens the user holds the lock
    kClosed,   // nobody may open the user until then
    kMoved,    // only with mail of that driver, until then
  };
  State state = State::kCopying;
  int64_t until = 0;   // seconds since 1970
  std::string token;   // what the migration's children carry
  std::string driver;  // kMoved

  // Always kGateSize bytes, so that it can be overwritten in place.
  [[nodiscard]] std::string Encode() const;
  static std::optional<Gate> Decode(std::string_view text);

  enum class Answer { kEnter, kEnterLocked, kRefuse };
  // To a process whose INBOX is kept by `driver_of_user`, at `now`.
  [[nodiscard]] Answer Ask(std::string_view driver_of_user, int64_t now) const;
};

inline constexpr size_t kGateSize = 128;

}  // namespace lbox::migrate

// Commands: what `doveadm lbox migrate` has done by other programs, for one user.
//
// Purpose: the command lines, on either series: dsync's, the lists of what is stored, kick, the
// auth cache, the hook. Each is a doveadm of its own, which drops privileges as always. Ownership:
// values. Failure modes: Status, with what the program said last. Crash rule: they carry the
// token, by which a later run finds and ends those that a killed one has left. No Dovecot header.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "plugin/migrate-child.h"
#include "plugin/migrate-place.h"
#include "plugin/migrate-rows.h"
#include "storage/status.h"

namespace lbox::migrate {

struct Tools {
  std::string doveadm;     // path
  std::string config;      // dovecot.conf
  bool by_driver = false;  // the series names storages by mail_driver and mail_path
  std::string hook;
  uint64_t io_limit = 0;  // bytes a second of one process; 0: none
};

struct Residence {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
  std::string driver, root;  // of INBOX
  [[nodiscard]] bool operator==(const Residence& other) const {
    return driver == other.driver && root == other.root;
  }
};

class Commands {
 public:
  Commands(Tools tools, std::string user, std::string token)
      : tools_(std::move(tools)), user_(std::move(user)), token_(std::move(token)) {}

  // Where the user's mail is: at a place, or as the userdb says.
  [[nodiscard]] Result<Residence> Where(const Place* place) const;
  // Makes `target` what `source` is. kCorruption: what lies there contradicts it.
  [[nodiscard]] Status Backup(const Place& source, const Place& target, bool limited) const;
  // Adds to `target` what is new in a mailbox of `source`.
  [[nodiscard]] Status Add(const Place& source, const Place& target,
                           const std::string& mailbox) const;
  // Compares two places. known: bodies that need not be read.
  [[nodiscard]] Result<Comparison> Compare(const Place& source, const Place& copy,
                                           Strictness strictness, const Uids* known) const;
  // Mailboxes of a place that have got messages since `next` was taken, which is taken anew.
  [[nodiscard]] Result<std::vector<std::string>> Grown(const Place& place, Uids& next) const;
  // GUIDs of messages that `source` has got since, and `copy` does not have.
  [[nodiscard]] Result<std::vector<std::string>> Missing(const Place& source, const Place& copy,
                                                         const Uids& before) const;
  void Kick() const;
  [[nodiscard]] Status ForgetLogin() const;
  // The hook: USER FROM-TEXT TO-TEXT, and the same in its environment.
  [[nodiscard]] Outcome Hook(const Place& source, const Place& target,
                             std::chrono::milliseconds limit) const;

 private:
  [[nodiscard]] Program Doveadm(const std::vector<std::string>& options,
                                const std::vector<std::string>& command, uint64_t limit) const;
  [[nodiscard]] Program Rows(const Place& place, const char* what, const Uids* known,
                             uint64_t limit) const;

  Tools tools_;
  std::string user_, token_;
};

// On 2.3 a protocol's mail_plugins replace the others: kInvalid when one would not know of the
// gate.
Status CheckPlugins(const Tools& tools);

// Users that match a mask, from the userdb.
Result<std::vector<std::string>> ListUsers(const Tools& tools, const std::string& mask);

}  // namespace lbox::migrate

// Place: where mail lies, as an operator names it, and as doveadm of either series is told.
//
// Purpose: "driver:path", with more behind a colon: 2.3's mail_location as it is
// (maildir:~/Maildir:LAYOUT=fs), on 2.4 settings (maildir:~/Maildir:mailbox_list_layout=fs).
// Ownership: values. No I/O; no Dovecot header.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/status.h"

namespace lbox::migrate {

struct Place {
  std::string text;
  std::string driver, path;
  std::vector<std::string> more;

  static Result<Place> Parse(std::string_view text);

  // Options of doveadm, before the command: the user's mail is taken to be here, whatever the
  // userdb says. by_driver: of the series that has mail_driver and mail_path.
  [[nodiscard]] std::vector<std::string> AsOwn(bool by_driver) const;
  // Arguments of dsync's commands: the other side.
  [[nodiscard]] std::vector<std::string> AsOther(bool by_driver) const;
};

}  // namespace lbox::migrate

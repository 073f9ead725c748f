// What hosting-warn makes of a job: the mail, and a script's arguments and environment.
//
// Purpose: shared by the program and by the plugin that delivers as the user. Ownership: values.
// Process and crash rules: none; no I/O. Failure modes: none; a warning that no version of
// hosting-usage sends is an empty one.
#pragma once

#include <string>
#include <vector>

#include "quota/growth_mail.h"
#include "usage.pb.h"

namespace hosting {

// host: of this machine, where the recipient's domain cannot be shown. folders: of the user, for
// mail to a mailbox's owner.
GrowthMail MailOf(const wire::WarnJob& job, const std::string& host,
                  const std::vector<GrowthItem>& folders);
// The script's name, then account, rule, level and percent; all of printable ASCII.
std::vector<std::string> ScriptArguments(const wire::WarnJob& job, const std::string& script);
// HOSTING_ACCOUNT=..., and so on for each of GrowthFields.
std::vector<std::string> ScriptEnvironment(const wire::WarnJob& job);

}  // namespace hosting

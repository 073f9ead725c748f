// Mail that the plugin itself puts into a user's INBOX.
#pragma once

#include "plugin/hosting-user.h"

// A whole message, into INBOX, over quota; it counts in the quota, and not as growth. Returns 0, or
// -1 (logged).
int hosting_notice_save(hosting_user& user, const std::string& message);
// Delivers over quota. subject: one line; text: lines, UTF-8. Returns 0, or -1 (logged).
int hosting_notice_deliver(hosting_user& user, const std::string& subject, const std::string& text);

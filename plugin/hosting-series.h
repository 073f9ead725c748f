// What differs for the plugin "hosting" between Dovecot 2.3 and 2.4; hosting-series-2.3.cc and
// hosting-series-2.4.cc implement it, CMake picks one. No other file of the plugin looks at the
// version.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugin/hosting-defaults.h"
#include "plugin/hosting-dovecot.h"

struct hosting_user;

struct hosting_settings_values {
  std::string socket, spool, login_table;
  std::string account, package;                          // userdb fields (or settings); "": none
  std::optional<uint64_t> extra_space, mailbox_limit;    // userdb fields, bytes
  unsigned int timeout_ms = HOSTING_DEFAULT_TIMEOUT_MS;  // of a call to hosting-usage
  bool event_account = false;                            // whether events name the account
};

// The settings of a user, account and package among them where the series has such settings.
// Returns 0, or -1 with *error_r.
int hosting_series_settings(struct mail_user* user, hosting_settings_values* values_r,
                            const char** error_r);
// A field that the userdb returned for the user; nullptr: none.
const char* hosting_series_field(struct mail_user* user, const char* name);
// A size such as "10G" in bytes; none when it is not one.
std::optional<uint64_t> hosting_series_size(const char* text);

// All quota roots of the user.
std::vector<struct quota_root*> hosting_series_roots(struct quota* quota);
// The root's name, as clients see it.
const char* hosting_series_root_name(struct quota_root* root);
// Whether the root counts mail of the mailbox's namespace.
bool hosting_series_is_visible(struct quota_root* root, struct mailbox* box);
// Whether a save into this mailbox is checked against this root: visible, enforced, not ignored.
bool hosting_series_applies(struct quota_root* root, struct mailbox* box);
// Whether any mailbox of the user is left out of this root (quota_ignore, rule "ignore").
bool hosting_series_ignores_any(struct quota_root* root);
// The namespaces whose mail counts in this root.
std::vector<struct mail_namespace*> hosting_series_namespaces(struct quota_root* root);

// Limits that the root gets, 0: none; what a delivery may go over them.
void hosting_series_set_limits(struct quota_root* root, uint64_t bytes, uint64_t messages,
                               uint64_t grace);

// Puts hosting_test_alloc() before what decides on saves so far.
void hosting_series_hook_test_alloc(struct hosting_user* user, struct quota* quota);
// Text of the refusal that is being answered. It lives as long as the user.
void hosting_series_set_text(struct quota_transaction_context* ctx, const char* text);

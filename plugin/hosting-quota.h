// The quota roots of "hosting": backend "hosting" is the account's package, backend
// "hosting-mailbox" this user's mail against the limit that the policy gives each mailbox.
#pragma once

#include "plugin/hosting-user.h"

inline constexpr char HOSTING_BACKEND[] = "hosting";
inline constexpr char HOSTING_MAILBOX_BACKEND[] = "hosting-mailbox";

// A root of ours. What it answered last, for the text of a refusal.
struct hosting_root {
  struct quota_root root;
  hosting::AccountFigures figures;
  bool in_account;
  bool web_stale;                        // the web figure is too old to count
  uint64_t bytes, messages;              // used
  uint64_t bytes_limit, messages_limit;  // enforced; 0: none
};

bool hosting_is_package_root(const struct quota_root* root);
bool hosting_is_mailbox_root(const struct quota_root* root);
// The package's root, else the mailbox's; nullptr: there is none of ours.
struct quota_root* hosting_root_of(struct quota& quota);

// To be called when a check begins: what the roots answer now is for the check, and they are asked
// even if nothing was limited the last time.
void hosting_roots_begin_check(hosting_user& user);

// What both series' tables of functions refer to.
extern "C" {
struct quota_root* hosting_root_alloc(void) noexcept;
void hosting_root_setup(struct quota_root* root) noexcept;
void hosting_root_deinit(struct quota_root* root) noexcept;
const char* const* hosting_root_get_resources(struct quota_root* root) noexcept;
enum quota_get_result hosting_root_get_resource(struct quota_root* root, const char* name,
                                                uint64_t* value_r, const char** error_r) noexcept;
int hosting_root_update(struct quota_root* root, struct quota_transaction_context* ctx,
                        const char** error_r) noexcept;
}

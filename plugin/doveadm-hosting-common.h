// What the files of `doveadm hosting` share.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

// Before Dovecot's headers, which define common words as macros.
#include "quota/policy.h"
#include "quota/usage_admin.h"

#include "plugin/dovecot.h"

extern "C" {
#include "doveadm.h"
#include "doveadm-print.h"
#include "plugin/doveadm-hosting.h"
}

// Logs what went wrong and sets doveadm's exit code by it.
void doveadm_hosting_fail(const hosting::Status& status);
// A parameter; "": not given.
std::string doveadm_hosting_param(struct doveadm_cmd_context* cctx, const char* name);
bool doveadm_hosting_flag(struct doveadm_cmd_context* cctx, const char* name);

// The policy file: parameter "file", else the setting (doveadm-hosting-policy.cc).
std::string doveadm_hosting_policy_path(struct doveadm_cmd_context* cctx);
// body(policy) with that file's policy, when it is a good one; what fails is told, no exception
// passes.
void doveadm_hosting_with_policy(
    struct doveadm_cmd_context* cctx,
    const std::function<hosting::Status(const hosting::Policy&)>& body) noexcept;

// Headers of a column for text and for numbers, named alike in tables and JSON.
void doveadm_hosting_text_column(const char* name);
void doveadm_hosting_number_column(const char* name);
// Of numbers that may be missing (""), which JSON has as strings therefore.
void doveadm_hosting_right_column(const char* name);
inline void doveadm_hosting_print(const std::string& value) {
  doveadm_print(value.c_str());
}
// "2026-11-22 17:05:00" in UTC; "" for 0.
std::string doveadm_hosting_time(int64_t at);
// "93.5", of a limit; "" without one.
std::string doveadm_hosting_percent(uint64_t bytes, uint64_t limit);

// body(admin) with a connection to hosting-usage; what fails is told, no exception passes.
template <typename Body>
void doveadm_hosting_ask(Body&& body) noexcept {
  try {
    auto admin = hosting::UsageAdmin::Connect(doveadm_hosting_socket());
    const hosting::Status status = admin.ok() ? body(**admin) : admin.status();
    if (!status.ok()) {
      doveadm_hosting_fail(status);
    }
  } catch (const std::exception& error) {
    doveadm_hosting_fail(hosting::Status(hosting::Code::kUnavailable, error.what()));
  }
}

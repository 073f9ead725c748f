// doveadm hosting account set-package: another package for an account, with what that changes.
#include <sysexits.h>

#include "plugin/doveadm-hosting-common.h"
#include "quota/package_change.h"
#include "quota/policy_edit.h"
#include "quota/policy_path.h"

namespace {

using hosting::Code;
using hosting::Status;
namespace wire = hosting::wire;

struct stored {
  uint64_t total = 0;
  std::vector<hosting::StoredMail> mail;
};

// What the account holds now. Without the service only the account's own lines are told.
stored what_is_stored(const std::string& account) {
  stored result;
  const auto admin = hosting::UsageAdmin::Connect(doveadm_hosting_socket());
  const auto usage =
      admin.ok() ? (*admin)->Account(account) : hosting::Result<wire::AccountUsage>(admin.status());
  if (!usage.ok()) {
    if (usage.status().code() != Code::kNotFound) {
      i_warning("hosting: what is stored is not known: %s", usage.status().message().c_str());
    }
    return result;
  }
  result.total = usage->mail() + usage->web() + usage->external();
  for (const wire::SourceUsage& source : usage->sources()) {
    if (source.kind() == wire::SourceUsage::MAIL) {
      result.mail.push_back({source.name(), source.usage().bytes()});
    }
  }
  return result;
}

void reload() {
  const auto admin = hosting::UsageAdmin::Connect(doveadm_hosting_socket());
  wire::Admin command;
  command.mutable_reload();
  const Status status = admin.ok() ? (*admin)->Call(command).status() : admin.status();
  if (!status.ok()) {
    i_warning("hosting: the service takes the change into use by itself once it runs: %s",
              status.message().c_str());
  }
}

void print(const std::vector<hosting::PackageChange>& changes) {
  for (const hosting::PackageChange& change : changes) {
    doveadm_hosting_print(change.user);
    doveadm_hosting_print(change.what);
    doveadm_hosting_print(change.before);
    doveadm_hosting_print(change.after);
    doveadm_hosting_print(change.note);
  }
}

Status set_package(struct doveadm_cmd_context* cctx) {
  const std::string account = doveadm_hosting_param(cctx, "account");
  const std::string package = doveadm_hosting_param(cctx, "package");
  if (account.empty() || package.empty()) {
    return Status(Code::kInvalid, "account set-package: an account and a package are needed");
  }
  const std::string path = doveadm_hosting_policy_file();
  const auto text = hosting::ReadPolicyText(path, {});
  if (!text.ok()) {
    return text.status();
  }
  const auto changed = hosting::WithPackage(text->text, account, package);
  if (changed.status().code() == Code::kNotFound) {
    return Status(Code::kNotFound,
                  changed.status().message() +
                      "; where the account comes from the userdb, change its field "
                      "hosting_package there (SQL: the column that user_query names so)");
  }
  if (!changed.ok()) {
    return changed.status();
  }
  const auto before = hosting::ParsePolicy(text->text);
  const auto after = hosting::ParsePolicy(*changed);
  const stored now = what_is_stored(account);
  print(hosting::PackageChanges(hosting::PolicyIndex(before.policy),
                                hosting::PolicyIndex(after.policy), account, now.total, now.mail));
  if (doveadm_hosting_flag(cctx, "dry-run") || *changed == text->text) {
    return {};
  }
  Status status = hosting::ReplaceFile(path, *changed);
  if (status.ok()) {
    reload();
  }
  return status;
}

}  // namespace

void cmd_hosting_set_package(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  for (const char* name : {"user", "what", "before", "after", "note"}) {
    doveadm_hosting_text_column(name);
  }
  try {
    const Status status = set_package(cctx);
    if (!status.ok()) {
      doveadm_hosting_fail(status);
    }
  } catch (const std::exception& error) {
    doveadm_hosting_fail(Status(Code::kUnavailable, error.what()));
  }
}

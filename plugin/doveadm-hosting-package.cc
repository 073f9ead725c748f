// doveadm hosting account set-package: another package for an account, with what that changes.
#include <algorithm>
#include <optional>

#include "plugin/doveadm-hosting-common.h"
#include "quota/package_change.h"
#include "quota/policy_edit.h"
#include "quota/policy_path.h"
#include "quota/size.h"

namespace {

using hosting::Code;
using hosting::Status;
namespace wire = hosting::wire;

struct stored {
  uint64_t total = 0;
  std::vector<hosting::StoredMail> mail;
};

// Of its mailboxes: those that have mail, and those that the policy file names.
void add(stored& to, const std::string& user, uint64_t bytes) {
  if (std::none_of(to.mail.begin(), to.mail.end(),
                   [&](const hosting::StoredMail& each) { return each.user == user; })) {
    to.mail.push_back({user, bytes});
  }
}

// What the account holds now. Without the service only what the policy file names is told.
stored what_is_stored(const hosting::Policy& policy, const std::string& account) {
  stored result;
  const auto admin = hosting::UsageAdmin::Connect(doveadm_hosting_socket());
  const auto usage =
      admin.ok() ? (*admin)->Account(account) : hosting::Result<wire::AccountUsage>(admin.status());
  if (usage.ok()) {
    result.total = usage->mail() + usage->web() + usage->external();
    for (const wire::SourceUsage& source : usage->sources()) {
      if (source.kind() == wire::SourceUsage::MAIL) {
        add(result, source.name(), source.usage().bytes());
      }
    }
  } else if (usage.status().code() != Code::kNotFound) {
    i_warning("hosting: what is stored is not known: %s", usage.status().message().c_str());
  }
  if (const hosting::Account* named = hosting::PolicyIndex(policy).FindAccount(account)) {
    for (const std::string& user : named->users) {
      add(result, user, 0);
    }
    for (const hosting::UserRule& rule : named->user_rules) {
      add(result, rule.user, 0);
    }
  }
  return result;
}

// What the userdb says of a mailbox; of its package the passdb, too, by which auth decides.
void look_up(hosting::StoredMail& mailbox) {
  const auto number = [](std::string_view text, std::optional<uint64_t>* value) {
    const auto size = hosting::ParseSize(text);
    *value = size.ok() ? std::optional<uint64_t>(*size) : std::nullopt;
  };
  for (const bool passdb : {true, false}) {
    const std::shared_ptr<struct pool> pool(pool_alloconly_create("hosting fields", 1024),
                                            [](struct pool* p) { pool_unref(&p); });
    const char* const* fields = nullptr;
    const bool known =
        doveadm_hosting_fields(mailbox.user.c_str(), passdb, pool.get(), &fields) > 0;
    for (; known && *fields != nullptr; ++fields) {
      const std::string_view field = *fields;
      const std::string_view name = field.substr(0, field.find('='));
      const std::string_view value = field.substr(std::min(name.size() + 1, field.size()));
      if (name == "hosting_package" && !value.empty()) {
        mailbox.fields.package = value;
        mailbox.source = passdb ? "the passdb" : "the userdb";
      } else if (!passdb && name == "hosting_account") {
        mailbox.fields.account = value;
      } else if (!passdb && name == "hosting_extra_space") {
        number(value, &mailbox.fields.extra_space);
      } else if (!passdb && name == "hosting_mailbox_limit") {
        number(value, &mailbox.fields.mailbox_limit);
      }
    }
  }
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
  stored now = what_is_stored(before.policy, account);
  for (hosting::StoredMail& mailbox : now.mail) {
    look_up(mailbox);
  }
  print(hosting::PackageChanges(hosting::PolicyIndex(before.policy),
                                hosting::PolicyIndex(after.policy), account, now.total, now.mail));
  if (hosting::ComesFromFields(now.mail)) {
    return Status(Code::kUnsupported,
                  "the package of account " + account +
                      " comes from the field hosting_package of " + now.mail.front().source + " (" +
                      now.mail.front().user + ": " + now.mail.front().fields.package +
                      "), so that changing " + path + " would have no effect; change the field");
  }
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

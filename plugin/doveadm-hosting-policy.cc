// doveadm hosting config check, account list, account show: what the policy file says.
#include <cerrno>
#include <fstream>
#include <sstream>

#include "plugin/doveadm-hosting-common.h"
#include "quota/policy_file.h"
#include "quota/policy_path.h"
#include "quota/size.h"

namespace {

using hosting::Code;
using hosting::Result;
using hosting::Status;

Result<hosting::ParsedPolicy> read_policy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) {
    return Status::FromErrno("reading " + path, errno != 0 ? errno : EIO);
  }
  return hosting::ParsePolicy(text.str());
}

// Reads the file and tells its problems, one a line.
Result<hosting::Policy> good_policy(const std::string& path) {
  auto parsed = read_policy(path);
  if (!parsed.ok()) {
    return parsed.status();
  }
  for (const auto& problem : parsed->problems) {
    i_error("%s", hosting::FormatProblem(path, problem).c_str());
  }
  for (const auto& warning : parsed->warnings) {
    i_warning("%s", hosting::FormatProblem(path, warning).c_str());
  }
  if (!parsed->problems.empty()) {
    return Status(Code::kInvalid, path + " has problems: the service keeps the last good policy");
  }
  return std::move(parsed->policy);
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    all += (all.empty() ? "" : " ") + text;
  }
  return all;
}

}  // namespace

std::string doveadm_hosting_policy_path(struct doveadm_cmd_context* cctx) {
  const std::string path = doveadm_hosting_param(cctx, "file");
  return path.empty() ? doveadm_hosting_policy_file() : path;
}

void doveadm_hosting_with_policy(
    struct doveadm_cmd_context* cctx,
    const std::function<Status(const hosting::Policy&)>& body) noexcept {
  try {
    const auto policy = good_policy(doveadm_hosting_policy_path(cctx));
    const Status status = policy.ok() ? body(*policy) : policy.status();
    if (!status.ok()) {
      doveadm_hosting_fail(status);
    }
  } catch (const std::exception& error) {
    doveadm_hosting_fail(Status(Code::kUnavailable, error.what()));
  }
}

void cmd_hosting_config_check(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_FLOW);
  doveadm_hosting_text_column("file");
  doveadm_hosting_number_column("packages");
  doveadm_hosting_number_column("accounts");
  doveadm_hosting_with_policy(cctx, [&](const hosting::Policy& policy) {
    // A draft may lie anywhere; the file in use may not.
    const auto trusted = hosting::ReadPolicyText(doveadm_hosting_policy_path(cctx), {});
    if (trusted.status().code() == Code::kPermission) {
      i_warning("the service does not read it: %s", trusted.status().message().c_str());
    }
    doveadm_hosting_print(doveadm_hosting_policy_path(cctx));
    doveadm_print_num(policy.packages.size());
    doveadm_print_num(policy.accounts.size());
    return Status();
  });
}

void cmd_hosting_account_list(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  for (const char* name : {"account", "package", "limit", "domains", "users", "web_roots"}) {
    doveadm_hosting_text_column(name);
  }
  doveadm_hosting_with_policy(cctx, [&](const hosting::Policy& policy) {
    const hosting::PolicyIndex index(policy);
    for (const hosting::Account& account : policy.accounts) {
      hosting::UserdbFields fields;
      fields.account = account.name;
      const auto effective = index.EffectiveOf("", fields);
      const uint64_t limit = effective.has_value() ? effective->limit : 0;
      doveadm_hosting_print(account.name);
      doveadm_hosting_print(account.package);
      doveadm_hosting_print(limit == 0 ? "" : hosting::FormatSize(limit));
      doveadm_hosting_print(joined(account.domains));
      doveadm_hosting_print(joined(account.users));
      doveadm_hosting_print(joined(account.web_roots));
    }
    return Status();
  });
}

void cmd_hosting_account_show(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  doveadm_hosting_text_column("setting");
  doveadm_hosting_text_column("value");
  doveadm_hosting_with_policy(cctx, [&](const hosting::Policy& policy) -> Status {
    const std::string user = doveadm_hosting_param(cctx, "user");
    hosting::UserdbFields fields;
    fields.account = doveadm_hosting_param(cctx, "account");
    if (user.empty() && fields.account.empty()) {
      return Status(Code::kInvalid, "account show: an account or --user is needed");
    }
    const hosting::PolicyIndex index(policy);
    const auto effective = index.EffectiveOf(user, fields);
    if (!effective.has_value()) {
      return Status(Code::kNotFound, fields.account.empty()
                                         ? "user " + user + " belongs to no account"
                                         : "there is no account " + fields.account);
    }
    doveadm_hosting_print("account");
    doveadm_hosting_print(effective->account_name);
    for (const std::string& line :
         hosting::Explain(*effective, doveadm_hosting_policy_path(cctx))) {
      const size_t colon = line.find(": ");
      doveadm_hosting_print(line.substr(0, colon));
      doveadm_hosting_print(colon == std::string::npos ? "" : line.substr(colon + 2));
    }
    if (const hosting::Account* account = effective->account; account != nullptr) {
      for (const auto& [name, values] :
           {std::pair{"domains", &account->domains}, std::pair{"users", &account->users},
            std::pair{"web_roots", &account->web_roots}}) {
        doveadm_hosting_print(name);
        doveadm_hosting_print(joined(*values));
      }
      doveadm_hosting_print("time_zone");
      doveadm_hosting_print(account->time_zone);
    }
    return {};
  });
}

// doveadm hosting usage, recalc, source set, warn, forget, reload, status: what hosting-usage knows
// and does.
#include <ctime>

#include "plugin/doveadm-hosting-common.h"
#include "quota/size.h"

namespace {

using hosting::Code;
using hosting::Status;
namespace wire = hosting::wire;

uint64_t total(const wire::AccountUsage& usage) {
  return usage.mail() + usage.web() + usage.external();
}

Status print_accounts(hosting::UsageAdmin& admin) {
  for (const char* name : {"account", "package"}) {
    doveadm_hosting_text_column(name);
  }
  for (const char* name : {"mail", "web", "external", "total", "limit"}) {
    doveadm_hosting_number_column(name);
  }
  doveadm_hosting_right_column("percent");
  for (const char* name : {"messages", "disk", "refused"}) {
    doveadm_hosting_number_column(name);
  }
  doveadm_hosting_text_column("over_limit");
  doveadm_hosting_text_column("recounting");
  return admin.ForEachAccount([](const wire::AccountUsage& usage) {
    doveadm_hosting_print(usage.account());
    doveadm_hosting_print(usage.package());
    doveadm_print_num(usage.mail());
    doveadm_print_num(usage.web());
    doveadm_print_num(usage.external());
    doveadm_print_num(total(usage));
    doveadm_print_num(usage.limit());
    doveadm_hosting_print(doveadm_hosting_percent(total(usage), usage.limit()));
    doveadm_print_num(usage.messages());
    doveadm_print_num(usage.disk());
    doveadm_print_num(usage.refused());
    doveadm_hosting_print(usage.over_limit());
    doveadm_hosting_print(usage.recounting() ? "yes" : "no");
  });
}

const char* kind_name(wire::SourceUsage::Kind kind) {
  switch (kind) {
    case wire::SourceUsage::MAIL:
      return "mail";
    case wire::SourceUsage::WEB:
      return "web";
    case wire::SourceUsage::EXTERNAL:
      return "external";
    default:
      return "";
  }
}

struct row {
  std::string kind, name;
  uint64_t bytes = 0, limit = 0, messages = 0, disk = 0;
  int64_t at = 0;
  bool stale = false;
  std::string problem;
};

void print_row(const row& r) {
  doveadm_hosting_print(r.kind);
  doveadm_hosting_print(r.name);
  doveadm_print_num(r.bytes);
  doveadm_hosting_print(doveadm_hosting_percent(r.bytes, r.limit));
  doveadm_print_num(r.messages);
  doveadm_print_num(r.disk);
  doveadm_hosting_print(doveadm_hosting_time(r.at));
  doveadm_hosting_print(r.at == 0 ? ""
                                  : std::to_string(std::max<int64_t>(time(nullptr) - r.at, 0)));
  doveadm_hosting_print(r.stale ? "yes" : "no");
  doveadm_hosting_print(r.problem);
}

// The account's total and limit, then each source.
Status print_account(hosting::UsageAdmin& admin, const std::string& account) {
  doveadm_hosting_text_column("kind");
  doveadm_hosting_text_column("name");
  doveadm_hosting_number_column("bytes");
  doveadm_hosting_right_column("percent");
  doveadm_hosting_number_column("messages");
  doveadm_hosting_number_column("disk");
  doveadm_hosting_text_column("at");
  doveadm_hosting_right_column("age");
  doveadm_hosting_text_column("stale");
  doveadm_hosting_text_column("problem");
  const auto usage = admin.Account(account);
  if (!usage.ok()) {
    return usage.status();
  }
  print_row({"total", usage->account(), total(*usage), usage->limit(), usage->messages(),
             usage->disk(), 0, false, usage->recounting() ? "is being recounted" : ""});
  if (usage->limit() != 0) {
    print_row({"limit", usage->package(), usage->limit(), usage->limit(), 0, 0, 0, false, ""});
  }
  for (const wire::SourceUsage& source : usage->sources()) {
    print_row({kind_name(source.kind()), source.name(), source.usage().bytes(), usage->limit(),
               source.usage().messages(), source.usage().disk(), source.at(), source.stale(),
               source.problem()});
  }
  return {};
}

// A command whose answer is a text.
Status print_text(hosting::UsageAdmin& admin, const wire::Admin& command) {
  const auto result = admin.Call(command);
  if (result.ok()) {
    doveadm_hosting_print(result->text());
  }
  return result.status();
}

void text_result() {
  doveadm_print_init(DOVEADM_PRINT_TYPE_FLOW);
  doveadm_print_header("result", "result", DOVEADM_PRINT_HEADER_FLAG_HIDE_TITLE);
}

}  // namespace

void cmd_hosting_usage(struct doveadm_cmd_context* cctx) {
  doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    const std::string account = doveadm_hosting_param(cctx, "account");
    return account.empty() ? print_accounts(admin) : print_account(admin, account);
  });
}

void cmd_hosting_recalc(struct doveadm_cmd_context* cctx) {
  text_result();
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    const std::string name = doveadm_hosting_param(cctx, "name");
    if (name.empty()) {
      return Status(Code::kInvalid, "recalc: an account or a user is needed");
    }
    wire::Admin command;
    command.mutable_recalc()->set_web(doveadm_hosting_flag(cctx, "web"));
    command.mutable_recalc()->set_account(name);
    Status status = print_text(admin, command);
    if (status.code() == Code::kNotFound) {
      command.mutable_recalc()->clear_account();
      command.mutable_recalc()->set_user(name);
      status = print_text(admin, command);
    }
    return status;
  });
}

void cmd_hosting_source_set(struct doveadm_cmd_context* cctx) {
  text_result();
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    const std::string size_text = doveadm_hosting_param(cctx, "size");
    const auto size = hosting::ParseSize(size_text);
    if (!size.ok()) {
      return Status(Code::kInvalid, "source set: " + size.status().message());
    }
    wire::Admin command;
    command.mutable_set_source()->set_account(doveadm_hosting_param(cctx, "account"));
    command.mutable_set_source()->set_source(doveadm_hosting_param(cctx, "source"));
    command.mutable_set_source()->set_bytes(*size);
    return print_text(admin, command);
  });
}

void cmd_hosting_warn(struct doveadm_cmd_context* cctx) {
  text_result();
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    wire::Admin command;
    command.mutable_warn_trial()->set_account(doveadm_hosting_param(cctx, "account"));
    return print_text(admin, command);
  });
}

void cmd_hosting_forget(struct doveadm_cmd_context* cctx) {
  text_result();
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    wire::Admin command;
    command.mutable_forget()->set_user(doveadm_hosting_param(cctx, "name"));
    return print_text(admin, command);
  });
}

void cmd_hosting_reload(struct doveadm_cmd_context*) {
  text_result();
  doveadm_hosting_ask([](hosting::UsageAdmin& admin) {
    wire::Admin command;
    command.mutable_reload();
    return print_text(admin, command);
  });
}

void cmd_hosting_status(struct doveadm_cmd_context*) {
  text_result();
  doveadm_hosting_ask([](hosting::UsageAdmin& admin) {
    wire::Admin command;
    command.mutable_status();
    return print_text(admin, command);
  });
}

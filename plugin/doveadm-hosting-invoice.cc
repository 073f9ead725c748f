// doveadm hosting invoice: what each account owes for a month, and the samples behind it.
#include "plugin/doveadm-hosting-common.h"
#include "quota/cell_text.h"

namespace {

using hosting::Code;
using hosting::Status;
namespace wire = hosting::wire;

struct column {
  const char* name;
  bool number;
  std::string (*value)(const wire::Invoice&);
};

const column columns[] = {
    {"account", false, [](const wire::Invoice& i) { return i.account(); }},
    {"package", false, [](const wire::Invoice& i) { return i.package(); }},
    {"month", false, [](const wire::Invoice& i) { return i.month(); }},
    {"basis", false, [](const wire::Invoice& i) { return i.basis(); }},
    {"basis_bytes", true, [](const wire::Invoice& i) { return std::to_string(i.basis_bytes()); }},
    {"limit", true, [](const wire::Invoice& i) { return std::to_string(i.limit()); }},
    {"overage", true, [](const wire::Invoice& i) { return std::to_string(i.overage()); }},
    {"units", true, [](const wire::Invoice& i) { return std::to_string(i.units()); }},
    {"per", false, [](const wire::Invoice& i) { return i.per(); }},
    {"price", false, [](const wire::Invoice& i) { return i.price(); }},
    {"amount", false, [](const wire::Invoice& i) { return i.amount(); }},
    {"currency", false, [](const wire::Invoice& i) { return i.currency(); }},
    {"final", false, [](const wire::Invoice& i) { return std::string(i.final() ? "yes" : "no"); }},
};

bool is_month(const std::string& text) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  return text.size() == 7 && digit(0) && digit(1) && digit(2) && digit(3) && text[4] == '-' &&
         digit(5) && digit(6) && text.substr(5) >= "01" && text.substr(5) <= "12";
}

std::string csv_line(std::string (*cell)(const column&, const wire::Invoice&),
                     const wire::Invoice& invoice) {
  std::string line;
  for (const column& c : columns) {
    line += (line.empty() ? "" : ",") + hosting::CsvCell(cell(c, invoice));
  }
  return line;
}

Status print_csv(hosting::UsageAdmin& admin, const std::string& month, const std::string& account) {
  doveadm_print_header("csv", "csv", DOVEADM_PRINT_HEADER_FLAG_HIDE_TITLE);
  doveadm_hosting_print(
      csv_line([](const column& c, const wire::Invoice&) { return std::string(c.name); }, {}));
  return admin.ForEachInvoice(month, account, [](const wire::Invoice& invoice) {
    doveadm_hosting_print(
        csv_line([](const column& c, const wire::Invoice& i) { return c.value(i); }, invoice));
  });
}

Status print_table(hosting::UsageAdmin& admin, const std::string& month,
                   const std::string& account) {
  for (const column& c : columns) {
    (c.number ? doveadm_hosting_number_column : doveadm_hosting_text_column)(c.name);
  }
  return admin.ForEachInvoice(month, account, [](const wire::Invoice& invoice) {
    for (const column& c : columns) {
      doveadm_hosting_print(c.value(invoice));
    }
  });
}

Status print_samples(hosting::UsageAdmin& admin, const std::string& month,
                     const std::string& account) {
  doveadm_hosting_text_column("account");
  doveadm_hosting_text_column("at");
  doveadm_hosting_number_column("bytes");
  return admin.ForEachInvoice(month, account, [](const wire::Invoice& invoice) {
    for (const wire::Sample& sample : invoice.samples()) {
      doveadm_hosting_print(invoice.account());
      doveadm_hosting_print(doveadm_hosting_time(sample.at()));
      doveadm_print_num(sample.bytes());
    }
  });
}

}  // namespace

void cmd_hosting_invoice(struct doveadm_cmd_context* cctx) {
  const bool csv = doveadm_hosting_flag(cctx, "csv");
  doveadm_print_init(csv ? DOVEADM_PRINT_TYPE_FLOW : DOVEADM_PRINT_TYPE_TABLE);
  doveadm_hosting_ask([&](hosting::UsageAdmin& admin) {
    const std::string month = doveadm_hosting_param(cctx, "month");
    const std::string account = doveadm_hosting_param(cctx, "account");
    if (!is_month(month)) {
      return Status(Code::kInvalid, "invoice: --month YYYY-MM is needed");
    }
    if (csv) {
      return print_csv(admin, month, account);
    }
    return doveadm_hosting_flag(cctx, "samples") ? print_samples(admin, month, account)
                                                 : print_table(admin, month, account);
  });
}

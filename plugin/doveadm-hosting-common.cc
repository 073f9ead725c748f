#include "plugin/doveadm-hosting-common.h"

#include <sysexits.h>

#include <ctime>

using hosting::Code;

void doveadm_hosting_fail(const hosting::Status& status) {
  i_error("hosting: %s", status.message().c_str());
  switch (status.code()) {
    case Code::kNotFound:
      doveadm_exit_code = EX_DATAERR;
      break;
    case Code::kInvalid:
    case Code::kUnsupported:
      doveadm_exit_code = EX_USAGE;
      break;
    case Code::kPermission:
      doveadm_exit_code = EX_NOPERM;
      break;
    default:
      doveadm_exit_code = EX_TEMPFAIL;
  }
}

std::string doveadm_hosting_param(struct doveadm_cmd_context* cctx, const char* name) {
  const char* value = nullptr;
  return doveadm_cmd_param_str(cctx, name, &value) && value != nullptr ? value : "";
}

bool doveadm_hosting_flag(struct doveadm_cmd_context* cctx, const char* name) {
  bool value = false;
  return doveadm_cmd_param_bool(cctx, name, &value) && value;
}

void doveadm_hosting_text_column(const char* name) {
  doveadm_print_header(name, name, static_cast<enum doveadm_print_header_flags>(0));
}

void doveadm_hosting_number_column(const char* name) {
  doveadm_print_header(
      name, name,
      static_cast<enum doveadm_print_header_flags>(DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY |
                                                   DOVEADM_PRINT_HEADER_FLAG_NUMBER));
}

void doveadm_hosting_right_column(const char* name) {
  doveadm_print_header(name, name, DOVEADM_PRINT_HEADER_FLAG_RIGHT_JUSTIFY);
}

std::string doveadm_hosting_time(int64_t at) {
  if (at == 0) {
    return "";
  }
  const time_t seconds = at;
  struct tm parts;
  char text[32];
  gmtime_r(&seconds, &parts);
  return {text, strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts)};
}

std::string doveadm_hosting_percent(uint64_t bytes, uint64_t limit) {
  if (limit == 0) {
    return "";
  }
  char text[32];
  snprintf(text, sizeof text, "%.1f",
           static_cast<double>(bytes) * 100 / static_cast<double>(limit));
  return text;
}

#include "plugin/hosting-settings.h"

namespace {

void text_field(struct mail_user* user, const char* name, std::string* value) {
  if (const char* field = hosting_series_field(user, name); field != nullptr) {
    *value = field;
  }
}

std::optional<uint64_t> size_field(struct mail_user* user, const char* name) {
  const char* value = hosting_series_field(user, name);
  if (value == nullptr || *value == '\0') {
    return std::nullopt;
  }
  const auto size = hosting_series_size(value);
  if (!size.has_value()) {
    e_error(user->event, "hosting: %s is no size: %s", name, value);
  }
  return size;
}

}  // namespace

int hosting_settings_read(struct mail_user* user, hosting_settings_values* values_r,
                          const char** error_r) {
  if (hosting_series_settings(user, values_r, error_r) < 0) {
    return -1;
  }
  if (!values_r->socket.starts_with('/')) {
    values_r->socket = std::string(user->set->base_dir) + "/" + values_r->socket;
  }
  text_field(user, "hosting_account", &values_r->account);
  text_field(user, "hosting_package", &values_r->package);
  values_r->extra_space = size_field(user, "hosting_extra_space");
  values_r->mailbox_limit = size_field(user, "hosting_mailbox_limit");
  return 0;
}

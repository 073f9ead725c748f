#include "plugin/hosting-service.h"

#include "plugin/dovecot.h"

extern "C" {
#include "master-service.h"
}

void hosting_service_init(const char* name, char* argv0, bool stats) {
  // Dovecot's arguments are for programs that read its configuration.
  int own_argc = 1;
  char* own_argv[] = {argv0, nullptr};
  char** rest = own_argv;
  master_service = master_service_init(
      name,
      static_cast<enum master_service_flags>(MASTER_SERVICE_FLAG_NO_CONFIG_SETTINGS |
                                             (stats ? 0 : MASTER_SERVICE_FLAG_DONT_SEND_STATS) |
                                             MASTER_SERVICE_FLAG_NO_SSL_INIT |
                                             MASTER_SERVICE_FLAG_NO_IDLE_DIE),
      &own_argc, &rest, "");
  master_service_init_log(master_service);
}

/* hosting-recount: a service of Dovecot's that counts users' mail from scratch for hosting-usage.
 *
 * Started by Dovecot's master as root; each user is looked up and their uid taken before mail is
 * touched. One connection at a time (client_limit = 1). A line "USER", or "USER<tab>force" to have
 * every message's size looked up again, is answered by "USER<tab>OK", "USER<tab>UNKNOWN" (no such
 * user, or of no account) or "USER<tab>TEMPFAIL". The figure itself goes to hosting-usage by the
 * plugin "hosting", which has to be among the user's mail_plugins. */
#include "lib.h"
#include "connection.h"
#include "ostream.h"
#include "restrict-access.h"
#include "strescape.h"
#include "mail-storage-service.h"
#include "mail-user.h"
#include "master-service.h"
#include "master-service-settings.h"
#include "hosting-privileges.h"
#include "hosting-abi.h"
#include "hosting-recount.h"
#include "hosting-recount-series.h"

#include <dlfcn.h>
#include <linux/capability.h>

#define SERVICE "hosting-recount"
#define MAX_LINE 4096

/* To become users, in their chroots, and to ask through sockets that are another's. */
static const int kept[] = {CAP_SETUID, CAP_SETGID, CAP_SYS_CHROOT, CAP_DAC_OVERRIDE, CAP_CHOWN};

static struct mail_storage_service_ctx* storage_service;
static struct connection_list* clients;

static const char* count_user(struct mail_user* user, bool force) {
  hosting_recount_func_t* recount;
  const char* error;
  int ret;

  *(void**)&recount = dlsym(RTLD_DEFAULT, HOSTING_RECOUNT_SYMBOL);
  if (recount == NULL) {
    e_error(user->event, "The plugin hosting is not loaded: it has to be in mail_plugins");
    return "TEMPFAIL";
  }
  ret = recount(user, force ? 1 : 0, &error);
  if (ret < 0) {
    e_error(user->event, "Counting mail failed: %s", error);
    return "TEMPFAIL";
  }
  return ret == 0 ? "UNKNOWN" : "OK";
}

static const char* handle(const char* username, bool force) {
  struct mail_user* user;
  const char *error, *result;
  int ret;

  ret = hosting_recount_series_user(storage_service, SERVICE, username, &user, &error);
  if (ret == 0)
    return "UNKNOWN";
  if (ret < 0) {
    i_error("User %s: %s", username, error);
    return "TEMPFAIL";
  }
  result = count_user(user, force);
  hosting_recount_series_user_free(&user);
  return result;
}

static int client_input_args(struct connection* conn, const char* const* args) {
  bool force = args[0] != NULL && args[1] != NULL && strcmp(args[1], "force") == 0;
  const char* result;

  if (args[0] == NULL || args[0][0] == '\0')
    return -1;
  result = handle(args[0], force);
  o_stream_nsend_str(conn->output, t_strdup_printf("%s\t%s\n", str_tabescape(args[0]), result));
  return 1;
}

static void client_destroy(struct connection* conn) {
  connection_deinit(conn);
  i_free(conn);
  master_service_client_connection_destroyed(master_service);
}

static const struct connection_settings client_set = {
    .dont_send_version = TRUE,
    .input_max_size = MAX_LINE,
    .output_max_size = MAX_LINE,
    .client = FALSE,
};

static const struct connection_vfuncs client_vfuncs = {
    .destroy = client_destroy,
    .input_args = client_input_args,
};

static void client_connected(struct master_service_connection* conn) {
  struct connection* client = i_new(struct connection, 1);

  master_service_client_connection_accept(conn);
  connection_init_server(clients, client, conn->name, conn->fd, conn->fd);
}

int main(int argc, char* argv[]) {
  hosting_abi_check(SERVICE);
  master_service = master_service_init(
      SERVICE, (enum master_service_flags)hosting_recount_service_flags, &argc, &argv, "");
  if (master_getopt(master_service) > 0)
    return FATAL_DEFAULT;
  hosting_recount_series_preinit(SERVICE);
  restrict_access_by_env(RESTRICT_ACCESS_FLAG_ALLOW_ROOT, NULL);
  master_service_init_log_with_pid(master_service);

  storage_service = hosting_recount_series_init(
      MAIL_STORAGE_SERVICE_FLAG_USERDB_LOOKUP | MAIL_STORAGE_SERVICE_FLAG_TEMP_PRIV_DROP |
      MAIL_STORAGE_SERVICE_FLAG_NO_CHDIR | MAIL_STORAGE_SERVICE_FLAG_NO_IDLE_TIMEOUT);
  restrict_access_allow_coredumps(TRUE);
  if (hosting_keep_capabilities(kept, N_ELEMENTS(kept)) != 0)
    i_fatal("giving up privileges failed: %m");
  clients = connection_list_init(&client_set, &client_vfuncs);
  master_service_init_finish(master_service);
  master_service_run(master_service, client_connected);

  connection_list_deinit(&clients);
  mail_storage_service_deinit(&storage_service);
  master_service_deinit(&master_service);
  return 0;
}

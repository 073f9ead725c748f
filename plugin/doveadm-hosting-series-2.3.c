/* Global settings for `doveadm hosting` in Dovecot 2.3: those of the plugin block. */
#include "lib.h"
#include "array.h"
#include "doveadm.h"
#include "doveadm-hosting.h"
#include "hosting-defaults.h"

static const char* setting(const char* name, const char* fallback) {
  const char* const* envs;
  unsigned int i, count;

  if (!array_is_created(&doveadm_settings->plugin_envs))
    return fallback;
  envs = array_get(&doveadm_settings->plugin_envs, &count);
  for (i = 0; i + 1 < count; i += 2) {
    if (strcmp(envs[i], name) == 0)
      return envs[i + 1];
  }
  return fallback;
}

const char* doveadm_hosting_socket(void) {
  const char* path = setting("hosting_socket", HOSTING_DEFAULT_SOCKET);

  return *path == '/' ? path : t_strconcat(doveadm_settings->base_dir, "/", path, NULL);
}

const char* doveadm_hosting_policy_file(void) {
  return setting("hosting_policy_file", HOSTING_DEFAULT_POLICY_FILE);
}

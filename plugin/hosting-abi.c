#include "hosting-abi.h"

#include "abi-check.h"
#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE LBOX_MODULE_DIR "/lib10_quota_plugin.so"
#define VERSION_SYMBOL "quota_plugin_version"
#define EXIT_FATAL 89 /* FATAL_DEFAULT */

/* As each module has one. */
const char* hosting_abi_version = DOVECOT_ABI_VERSION;

/* As Dovecot compares them for modules: what follows "(" does not count. */
static size_t length(const char* abi) {
  return strcspn(abi, "(");
}

void hosting_abi_check(const char* program) {
  const char* built_for = hosting_abi_version;
  void* module = dlopen(MODULE, RTLD_LAZY | RTLD_LOCAL);
  const char* const* symbol = module == NULL ? NULL : dlsym(module, VERSION_SYMBOL);
  const char* found = symbol == NULL ? NULL : *symbol;

  if (found != NULL &&
      (length(found) != length(built_for) || memcmp(found, built_for, length(found)) != 0)) {
    fprintf(stderr,
            "%s is for different ABI version %s (Dovecot has %s): install the package for it\n",
            program, built_for, found);
    exit(EXIT_FATAL);
  }
  if (module != NULL)
    dlclose(module);
  const char* other = lbox_abi_of_another_build();
  if (other != NULL) {
    fprintf(stderr, "%s is for different ABI version %s\n", program, other);
    exit(EXIT_FATAL);
  }
}

/* In each module. Dovecot reads the module's version right after it has been loaded, before it
 * calls any of its functions, and refuses the module unless the version is Dovecot's own: so a
 * module for another build of Dovecot has another version, and Dovecot itself says why. */
#include "abi-check.h"

#include <stddef.h>

/* Defined by the module, which exports it; its name comes from dovecot.cmake. */
extern __attribute__((visibility("default"))) const char* LBOX_MODULE_VERSION;

__attribute__((constructor)) static void check_build(void) {
  const char* other = lbox_abi_of_another_build();
  if (other != NULL)
    LBOX_MODULE_VERSION = other;
}

/* What the services that Dovecot's master starts give up for good, once they have become whom their
   settings say. Without Dovecot's headers. Process rules: the whole process, before it has a second
   thread. Plain C. */
#ifndef HOSTING_PRIVILEGES_H
#define HOSTING_PRIVILEGES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps these capabilities (CAP_...) of what the process has, and no others: they leave the
   bounding set, too, as far as the process may change that. Then no program that it might run can
   bring new ones (no_new_privs). Returns 0, or -1 with errno. */
int hosting_keep_capabilities(const int* kept, size_t count);

#ifdef __cplusplus
}
#endif

#endif

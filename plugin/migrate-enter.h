/* Where a mail process meets `doveadm lbox migrate` (migrate-gate.h): it asks before it opens a
   user, holds the user's lock as long as it has the user open, and in the migration's own children
   keeps to the limit on IO. Plain C. */
#ifndef LBOX_MIGRATE_ENTER_H
#define LBOX_MIGRATE_ENTER_H

#include <stdbool.h>

struct mail;
struct mail_namespace;

/* Of mail_namespaces_created: false, with the user's error set, when the user may not be opened
   now. One open(2) when the user is not being moved. */
bool lbox_migrate_enter(struct mail_namespace* namespaces);
/* Hook, for the limit on IO. */
void lbox_migrate_mail_allocated(struct mail* mail);

#endif

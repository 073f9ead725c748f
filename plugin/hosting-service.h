// How the programs that Dovecot's master runs, and that read none of Dovecot's settings, begin.
#pragma once

// Makes `master_service`, which logs as Dovecot does. argv0: the program's; its further arguments
// are its own. stats: its events go to the stats service.
void hosting_service_init(const char* name, char* argv0, bool stats);

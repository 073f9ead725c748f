/* Whether a program was built for the Dovecot that is there. Dovecot asks its modules, not
 * programs.
 *
 * Purpose: a program of another ABI, or for another build (abi-check.h), ends with a message,
 * before its first call into Dovecot's libraries. Ownership: none. Process rules: for the begin of
 * main(); calls nothing of Dovecot's. Failure modes: ends the process. Where Dovecot's quota plugin
 * is not installed, the ABI's name is not checked. Crash rule: none. */
#ifndef HOSTING_ABI_H
#define HOSTING_ABI_H

#ifdef __cplusplus
extern "C" {
#endif

/* What this program was built for. */
extern const char* hosting_abi_version;

/* Returns when the ABI is the same. program: its name, for the message on stderr, which Dovecot
 * logs. */
void hosting_abi_check(const char* program);

#ifdef __cplusplus
}
#endif

#endif

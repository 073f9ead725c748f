/* Whether this process runs the very build of Dovecot that this module or program was compiled
 * against.
 *
 * Purpose: Dovecot compares the name of its ABI, which an update may keep while it changes the
 * layout of structures. This compares the GNU build-ids of Dovecot's libraries, and of the program
 * whose structures are shared, with those that dovecot.cmake found. Ownership: the text is static.
 * Process rules: for the begin, before the first call into Dovecot's libraries; calls nothing of
 * Dovecot's, opens no file (what runs counts, not what is installed); a few microseconds. One
 * thread at a time. Failure modes: a library or program without a build-id, or not known when this
 * was built (all of them with LBOX_ABI_CHECK=OFF), is not compared. Crash rule: none. */
#ifndef LBOX_ABI_CHECK_H
#define LBOX_ABI_CHECK_H

#ifdef __cplusplus
extern "C" {
#endif

/* NULL if all is as it was; else the ABI's name and what differs, to be shown in place of
 * DOVECOT_ABI_VERSION, from which it differs before the first "(". */
const char* lbox_abi_of_another_build(void);

#ifdef __cplusplus
}
#endif

#endif

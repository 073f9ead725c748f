// What Dovecot leaves behind when it cannot finish an index log, or is killed meanwhile.
//
// A new dovecot.index.log is written as <name>.newlock and renamed; that file is the lock on making
// it, too. When the rename fails, or the process is killed before it, the file stays, and whoever
// opens the mailbox waits three minutes for it. While such a lock is in use it is open in the
// process that made it, so a lease, which the kernel gives only on a file that nobody else has
// open, tells.
#pragma once

// Removes PREFIX.log.newlock unless a process has it open. prefix: path of an index without a
// suffix, as .../dovecot.index. Never fails: what cannot be removed is waited for.
void lbox_remove_abandoned_lock(const char* prefix);

/* The store of the last delivery, which an lmtp process keeps open for a moment: opening and closing
 * one takes a fifth of a delivery's CPU time, and the next message is often for the same user.
 *
 * Ownership: the handle is storage/'s (Store::KeepIdle); here are the timer and whether to keep it.
 * Processes: lmtp only. An imap or pop3 process ends with its session, doveadm goes on to another
 * user. */
#pragma once

#ifdef __cplusplus
#include <memory>

#include "storage/store.h"

/* Instead of letting go of the store of a user who is done. */
void lbox_idle_store_keep(const std::shared_ptr<lbox::Store>& store);

extern "C" {
#endif

/* Before the plugin goes. */
void lbox_idle_store_close(void);

#ifdef __cplusplus
}
#endif

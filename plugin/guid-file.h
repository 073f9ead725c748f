// The file "lbox-guid" in each mailbox directory: which mailbox of the store the directory is, when
// Dovecot's index is gone.
//
// With mailbox_list_layout=index the directory's own name is the GUID and no file is needed.
// Written before the mailbox's row exists in the store; durable after lbox_guid_file_write returns.
#pragma once

#include "plugin/dovecot.h"
#include "storage/types.h"

// Returns 1 if found, 0 if there is none, -1 on error (set on the storage).
int lbox_guid_file_read(struct mailbox* box, lbox::Guid* guid_r);
// Returns 0, or -1 on error (set on the storage).
int lbox_guid_file_write(struct mailbox* box, const lbox::Guid& guid);
// The same for a new mailbox; when another process was first, its GUID is given back instead.
int lbox_guid_file_claim(struct mailbox* box, lbox::Guid* guid);

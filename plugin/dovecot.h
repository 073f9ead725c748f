// The one door to Dovecot's headers for C++ (see docs/design.md, "C++ and Dovecot").
//
// Dovecot's headers are C. What has to be bent so that a C++20 compiler takes them, on 2.3 and 2.4
// alike, is bent here and nowhere else: HASH_TABLE expands to `const const` in C++ (2.4's
// mailbox-list-private.h), so it is replaced by a union of the same layout; the hash_table_* macros
// are therefore not usable from C++.
#pragma once

#include <sys/stat.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#undef PACKAGE
#undef PACKAGE_BUGREPORT
#undef PACKAGE_NAME
#undef PACKAGE_STRING
#undef PACKAGE_TARNAME
#undef PACKAGE_URL
#undef PACKAGE_VERSION
#undef VERSION
#endif

extern "C" {
#include "lib.h"
#include "hash-decl.h"
#undef HASH_TABLE
#define HASH_TABLE(key_type, value_type) \
  union {                                \
    struct hash_table* _table;           \
  }
#include "array.h"
#include "guid.h"
#include "hex-binary.h"
#include "hostpid.h"
#include "ioloop.h"
#include "istream.h"
#include "istream-crlf.h"
#include "istream-private.h"
#include "llist.h"
#include "master-service.h"
#include "module-dir.h"
#include "ostream.h"
#include "ostream-private.h"
#include "seq-range-array.h"
#include "str.h"
#include "unlink-directory.h"
#include "mail-namespace.h"
#include "mail-user.h"
#include "mailbox-list-private.h"
#include "mailbox-list-index.h"
#include "mailbox-list-index-sync.h"
#include "mail-storage-private.h"
#include "index-storage.h"
#include "index-mail.h"
#include "mail-copy.h"
#include "mail-index-modseq.h"
#include "mailbox-recent-flags.h"
#include "mailbox-uidvalidity.h"
#include "mailbox-watch.h"
}

// index-storage.h's INDEX_STORAGE_CONTEXT does not compile as C++ in 2.3.
static inline struct index_mailbox_context* lbox_index_context(struct mailbox* box) {
  return static_cast<struct index_mailbox_context*>(MODULE_CONTEXT(box, index_storage_module));
}

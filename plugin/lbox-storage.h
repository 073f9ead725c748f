// The lbox storage class: one mail_storage for each store, its mailboxes, and what they keep
// between calls.
//
// Ownership: Dovecot allocates struct lbox_storage and struct lbox_mailbox from pools, which never
// run destructors; all C++ state hangs off one pointer each, made in alloc and deleted in
// destroy/free. Processes: a Store is shared by all storages of a process that lie in the same
// directory (storage/store.h). Lock order everywhere: Dovecot's index log, then the store's writer
// lock.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "plugin/dovecot.h"
#include "storage/row_window.h"
#include "storage/store.h"

#define LBOX_CLASS_FLAGS                                                              \
  static_cast<enum mail_storage_class_flags>(                                         \
      MAIL_STORAGE_CLASS_FLAG_UNIQUE_ROOT | MAIL_STORAGE_CLASS_FLAG_HAVE_MAIL_GUIDS | \
      MAIL_STORAGE_CLASS_FLAG_HAVE_MAIL_SAVE_GUIDS | MAIL_STORAGE_CLASS_FLAG_BINARY_DATA)

struct lbox_storage_state {
  std::shared_ptr<lbox::Store> store;  // opened by the first mailbox
  std::string path;                    // of the store
  bool boot_checked = false;           // by this process: see after-boot.cc
  bool repaired = false;               // looked through by this process, for doveadm force-resync
  struct timeout* to_upkeep = nullptr;
  struct timeout* to_flush = nullptr;  // writes waiting flag changes to the store
};

struct lbox_storage {
  struct mail_storage storage;
  lbox_storage_state* state;
};

struct lbox_mailbox_state {
  lbox::Guid guid;
  // CLOCK_MONOTONIC milliseconds of the oldest flag change that is only in dovecot.index.log; 0:
  // none.
  int64_t flags_pending_since = 0;
  // Messages that a transaction is to expunge: its commit goes to the store at once.
  uint32_t expunges_requested = 0;
  // Committed to dovecot.index.log alone: more are to come, then a sync.
  bool expunges_pending = false;
  // first_recent_uid that the store does not know yet; 0: none.
  uint32_t pending_first_recent_uid = 0;
  // Sizes of messages being expunged, while plugins are told of it: their rows are gone already.
  struct Sizes {
    uint32_t physical, virtual_;
  };
  std::unordered_map<uint32_t, Sizes> dying;
  lbox::RowWindow rows;  // cleared by each sync that has something to do
};

struct lbox_mailbox {
  struct mailbox box;
  struct lbox_storage* storage;
  uint32_t hdr_ext_id;
  lbox_mailbox_state* state;
};

// Header extension "lbox-hdr" of dovecot.index: which mailbox of which store state the index
// mirrors.
struct lbox_index_header {
  uint8_t mailbox_guid[GUID_128_SIZE];
  uint64_t change;  // the store's change counter of the mailbox when the index was last in step
};

static inline struct lbox_storage* LBOX_STORAGE(struct mail_storage* storage) {
  return reinterpret_cast<struct lbox_storage*>(storage);
}
static inline struct lbox_mailbox* LBOX_MAILBOX(struct mailbox* box) {
  return reinterpret_cast<struct lbox_mailbox*>(box);
}
static inline lbox::Store& lbox_store(struct lbox_mailbox* mbox) {
  return *mbox->storage->state->store;
}

extern "C" {
extern struct event_category lbox_event_category;
extern struct mail_vfuncs lbox_mail_vfuncs;

struct mail_storage* lbox_storage_alloc(void) noexcept;
int lbox_storage_create(struct mail_storage* storage, struct mail_namespace* ns,
                        const char** error_r) noexcept;
void lbox_storage_destroy(struct mail_storage* storage) noexcept;
int lbox_storage_purge(struct mail_storage* storage) noexcept;
int lbox_list_index_rebuild(struct mail_storage* storage,
                            enum mail_storage_list_index_rebuild_reason reason) noexcept;
struct mailbox* lbox_mailbox_alloc(struct mail_storage* storage, struct mailbox_list* list,
                                   const char* vname, enum mailbox_flags flags) noexcept;
// Hook: in the first session after a boot of the machine, Dovecot's index files are made anew.
void lbox_namespaces_created(struct mail_namespace* namespaces) noexcept;
}

// Where the store is and how it is to be opened. Returns 0 or -1 (error set).
int lbox_storage_options(struct lbox_storage* storage, struct mailbox_list* list,
                         lbox::StoreOptions* options_r);
// Opens the store, creating it when missing. Returns 0 or -1 (error set).
int lbox_storage_open(struct lbox_storage* storage, struct mailbox_list* list);
// For a mailbox that the list has not: makes the list again when the store has one of that name.
// Returns 1 if it did, 0 if not (with layout fs never), -1 (error set).
int lbox_list_find_lost(struct mailbox* box);
// To be called before a store is made: the index files beside it will be of this boot.
void lbox_note_boot_of_new_store(struct lbox_storage* storage);
// Frees disk in small steps once the current command has been answered.
void lbox_storage_schedule_upkeep(struct lbox_storage* storage);
// Brings waiting flag changes of all open mailboxes to the store within a second.
void lbox_storage_schedule_flush(struct lbox_storage* storage);

lbox::Guid lbox_guid_from(const guid_128_t guid);
// Milliseconds of the monotonic clock.
int64_t lbox_monotonic_ms();
// The mailbox's storage name with '\0' for the hierarchy separator: how the store keeps names,
// whatever the separator setting.
std::string lbox_mailbox_store_name(struct mailbox* box);
// The other way round: the storage name that the list has for a mailbox of the store.
std::string lbox_mailbox_list_name(struct mailbox_list* list, const lbox::MailboxInfo& info);

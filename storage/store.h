// The message store of one mail user: mailboxes, messages, bodies.
//
// Ownership: Store::Open returns a shared handle; within one process every opening of the same
// store (by device and inode of its `lock` file) gives the same Store, because one LMDB environment
// must never be opened twice in a process. Processes: any number may use one store at once.
// Threads: one thread per process. Never carried across fork(). Privileges: every call that touches
// files must run with the effective uid that opened the store; destruction needs none. Failure:
// each call returns a Status or Result; after any failure the store is as before the call
// (kAborted: try again). Crash rule: when Save, Apply, CreateMailbox, UpdateMailbox or
// DeleteMailbox has returned ok, its effect is on disk (StoreOptions::sync == kNever excepted).
// What was not acknowledged is absent or whole.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/body.h"
#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

class Env;

struct StoreOptions {
  std::string path;         // directory of the store; absolute, or as seen inside a chroot
  bool create = true;       // make it when missing
  bool allow_fuse = false;  // FUSE file systems are refused unless set
  bool sync = true;  // false: no flush at all (Dovecot's mail_fsync=never); unclean boot may lose
                     // the store's newest changes
  uint32_t mode = 0600;       // of files; directories get the matching search bits
  int64_t gid = -1;           // group for new files, -1: leave
  int compression_level = 3;  // zstd level, 1..19; up to 3: of bodies over 128 KiB, others at 1
  uint64_t max_map_bytes =
      0;  // limit on the index map; 0: from RLIMIT_AS and what the process already uses
  Env* env = nullptr;  // file system seam; nullptr: the real one. Must outlive the store.
  bool operator==(const StoreOptions&) const = default;
};

class Store : public std::enable_shared_from_this<Store> {
 public:
  static Result<std::shared_ptr<Store>> Open(const StoreOptions& options);
  // For a process that may soon want the same store again, as one that delivers: keeps it open
  // after its last user let go of it, until any store is opened that is not the same, by the same
  // uid with the same options, and for ten seconds after it was opened at most. A damaged one is
  // not kept.
  static void KeepIdle(std::shared_ptr<Store> store);
  static void CloseIdle();
  virtual ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // What was found damaged on opening, one line each, for the log. All else is served.
  [[nodiscard]] const std::vector<std::string>& Damage();

  // --- mailboxes; keyed by GUID, the name is only remembered
  Result<MailboxInfo> GetMailbox(const Guid& mailbox);  // kNotFound
  Result<std::vector<MailboxInfo>> ListMailboxes();
  // Creates it with these values (uid_validity and next_uid >= 1 must be set); when the GUID exists
  // already: kInvalid.
  Status CreateMailbox(const MailboxCreate& create);
  Status UpdateMailbox(const Guid& mailbox, const MailboxUpdate& update);
  // Removes the mailbox and all its messages; in steps of at most kBatchRows rows, the mailbox row
  // last. kNotFound when absent.
  Status DeleteMailbox(const Guid& mailbox);

  // --- reading messages
  Result<Message> Lookup(const Guid& mailbox, uint32_t uid);  // kNotFound: no such mailbox or UID
  // How many messages of the store share this one's body. kNotFound as Lookup.
  Result<uint32_t> References(const Guid& mailbox, uint32_t uid);
  // What did not fit in the row; an empty MessageExtra when there is none.
  Result<MessageExtra> LookupExtra(const Guid& mailbox, uint32_t uid);
  // Calls visit for each message with first_uid <= uid <= last_uid in ascending order inside one
  // read transaction, with the extra values when it has any, until visit returns false. visit must
  // not call back into the store.
  Status Scan(const Guid& mailbox, uint32_t first_uid, uint32_t last_uid,
              const std::function<bool(const Message&, const MessageExtra*)>& visit);
  // The stored body. kNotFound: expunged. kCorruption: damaged or missing on disk (message names
  // file, mailbox, UID).
  Result<std::unique_ptr<BodyReader>> OpenBody(const Guid& mailbox, uint32_t uid,
                                               BodyPart wanted = BodyPart::kAll);
  // The body of a message staged but not saved yet.
  Result<std::unique_ptr<BodyReader>> OpenStaged(const StagedBody& staged);

  // --- writing
  // Starts a new body; compresses as data comes, in memory up to 128 KiB compressed, then in tmp/.
  Result<std::unique_ptr<BodyWriter>> NewBody();
  // One transaction: first `changes`, then all `messages` (staged or copied), UIDs assigned by the
  // rule in types.h; sets NewMessage::uid of each. An empty batch is allowed. With
  // `expected_change`, kAborted and nothing is done when the mailbox's change counter is another:
  // what a reader saw may have been old, even under a lock that keeps writers away. (The
  // transaction of a process that died at the very end of its commit is there, but readers do not
  // see it before the next writer.)
  Result<SaveResult> Save(const Guid& mailbox, uint32_t min_uid, std::span<NewMessage> messages,
                          std::span<const Change> changes,
                          std::optional<uint64_t> expected_change = std::nullopt);
  // Gives messages of one mailbox new UIDs, in one transaction: like Save of copies, whose
  // originals go. Each of `messages` names a source in `mailbox`.
  Result<SaveResult> Renumber(const Guid& mailbox, uint32_t min_uid,
                              std::span<NewMessage> messages);
  // Applies in order; idempotent; UIDs that do not exist are passed over. Commits at least every
  // kBatchRows rows; an error may leave a prefix applied.
  Result<ApplyResult> Apply(const Guid& mailbox, std::span<const Change> changes);

  // --- upkeep
  // True when there is dead space or leftover files worth a Maintain call. Cheap (no system call).
  bool WantsMaintenance();
  // Frees disk: unlinks what was deleted, rewrites packs with too much dead space, shrinks the
  // index. Stops after about `budget` (one pack is the smallest step), at once with zero; returns
  // whether more remains. `exhaustive` lowers the thresholds to "any dead byte" (doveadm purge) and
  // sweeps files that no row names.
  Result<bool> Maintain(std::chrono::milliseconds budget, bool exhaustive = false);
  // Unlinks what this process deleted and Maintain has not come to yet, however long that takes:
  // for a process that ends.
  Status UnlinkDeleted();
  Result<StoreStatus> GetStatus();
  // What all mailboxes together hold, as of one transaction. A read of one row, whatever the
  // store's size.
  Result<StoreTotals> GetTotals();

 protected:
  Store() = default;
};

}  // namespace lbox

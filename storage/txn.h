// One transaction on the index and the rows in its tables, as values.
//
// Purpose: everything above speaks of rows, nothing above speaks LMDB. storage/rows.h says what the
// tables hold; messages have storage/message_table.h. Ownership: handed to a closure by Index::Read
// or Index::Write; valid until that returns. Failure: kNotFound for a row that is not there (all
// Get and Find), kCorruption for one that is not what was written, kFull when the map is full.
// After a failure of any Put or Delete the transaction can only be given up.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lmdb.h>

#include "storage/index_env.h"
#include "storage/journal_record.h"
#include "storage/rows.h"
#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

enum class FileKind : uint8_t { kPack = 1, kLarge = 2 };
struct PendingFile {
  FileKind kind = FileKind::kPack;
  uint64_t id = 0;
};

class Txn {
 public:
  // Takes over a transaction of `index`: a write transaction is given up on destruction unless
  // committed.
  Txn(MDB_txn* txn, IndexEnv& index, bool writable);
  ~Txn();
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;

  [[nodiscard]] MDB_txn* raw() const { return txn_; }
  [[nodiscard]] const Tables& tables() const { return index_.tables(); }
  [[nodiscard]] IndexEnv& index() const { return index_; }

  // As read at the start. Index::Write writes it back, `transaction` raised by one, when it
  // commits.
  MetaRow meta;
  // What transaction this one will be.
  [[nodiscard]] uint64_t number() const { return meta.transaction + 1; }
  // Set by a closure of Index::Write that has changed nothing: the transaction is given up, at no
  // cost.
  bool unchanged = false;
  // Set by a closure all of whose work opening the store can do again (storage/redo.h): the commit
  // need not be durable when it returns, only ordered before the next.
  bool redoable = false;
  // What the journal is to say of this transaction; nothing, unless a closure fills it.
  JournalRecord journal;

  // Durable after this, when ok: everything put (unless flushing is off). With `redoable`: all but
  // the meta page, which the next commit's flush makes durable.
  Status Commit();

  // Free pages of the file as they were when this began; not all of them can be used yet. Reads the
  // whole free list.
  uint64_t FreePages();

  Status LoadMeta();
  Status StoreMeta();

  Result<uint32_t> FindMailbox(const Guid& guid);
  Result<MailboxRow> GetMailbox(uint32_t id);
  Result<MailboxCold> GetCold(uint32_t id);
  Status PutMailbox(uint32_t id, const MailboxRow& row);
  Status PutCold(uint32_t id, const MailboxCold& cold);
  Status PutMailboxGuid(const Guid& guid, uint32_t id);
  Status DeleteMailboxGuid(const Guid& guid);
  uint64_t CountMailboxGuids();
  Status DeleteMailbox(uint32_t id);  // its row and cold row
  Status ForEachMailbox(const std::function<Status(uint32_t id, const MailboxRow&)>& visit);

  Result<MessageExtra> GetExtra(uint32_t mailbox, uint32_t uid);
  Status PutExtra(uint32_t mailbox, uint32_t uid, const MessageExtra& extra);
  Status DeleteExtra(uint32_t mailbox, uint32_t uid);  // ok when absent
  Status ForEachExtra(
      const std::function<Status(uint32_t mailbox, uint32_t uid, const MessageExtra&)>& visit);

  Result<BodyRow> GetBody(uint64_t id);
  Status PutBody(uint64_t id, const BodyRow& row);
  Status AppendBody(uint64_t id, const BodyRow& row);  // id above all others
  Status DeleteBody(uint64_t id);
  Status ForEachBody(const std::function<Status(uint64_t id, const BodyRow&)>& visit);

  Result<PackRow> GetPack(uint32_t id);
  Status PutPack(uint32_t id, const PackRow& row);
  // All that was put in this transaction, in order.
  [[nodiscard]] const std::vector<std::pair<uint32_t, PackRow>>& packs_put() const {
    return packs_put_;
  }
  Status DeletePack(uint32_t id);
  Status ForEachPack(const std::function<Status(uint32_t id, const PackRow&)>& visit);

  // The file is to be unlinked once this is committed; collected in removed().
  Status AddPending(const PendingFile& file);
  [[nodiscard]] const std::vector<PendingFile>& removed() const { return removed_; }
  Status RemovePending(const PendingFile& file);  // ok when absent
  Status ForEachPending(const std::function<Status(const PendingFile&)>& visit);

  // Turns an LMDB code into a Status that names this index and what was being done; remembers that
  // the map was full.
  Status Failed(int error, const std::string& action);
  [[nodiscard]] bool map_full() const { return map_full_; }

 private:
  // The value under `key`; its bytes are valid until the next write.
  Result<std::span<const uint8_t>> Get(MDB_dbi table, MDB_val key, const char* row,
                                       const std::string& id);
  Status Put(MDB_dbi table, MDB_val key, std::span<const uint8_t> value, unsigned flags,
             const char* row);
  Status Delete(MDB_dbi table, MDB_val key, const char* row, bool ok_when_absent);
  Status ForEach(MDB_dbi table, const char* row,
                 const std::function<Status(std::span<const uint8_t> key,
                                            std::span<const uint8_t> value)>& visit);
  // Adds where it was to what Decode said.
  Status Damaged(const Status& status, const std::string& id);

  MDB_txn* txn_;
  IndexEnv& index_;
  const bool writable_;
  bool map_full_ = false;
  std::vector<PendingFile> removed_;
  std::vector<std::pair<uint32_t, PackRow>> packs_put_;
};

}  // namespace lbox

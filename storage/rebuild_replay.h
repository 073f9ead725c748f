// What happened to a store since its index copy, done again on a new index.
//
// Purpose: rows as the transactions left them. Counts and references are kept only as far as the
// next steps need them; RebuildSettle makes them anew. Ownership: works on an IndexEnv of its
// own, committing now and then; it is nobody else's until it is complete.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "storage/index_env.h"
#include "storage/journal_record.h"
#include "storage/keywords.h"
#include "storage/rebuild.h"
#include "storage/rebuild_scan.h"
#include "storage/txn.h"

namespace lbox {

// Write transactions on the new index, one after the other.
class RebuildTxn {
 public:
  // `meta` is what the meta row begins with.
  RebuildTxn(IndexEnv& env, MetaRow meta) : env_(env), meta_(std::move(meta)) {}
  Result<Txn*> Get();
  // After something was done: commits when enough has come together.
  Status Done();
  Status Commit();

 private:
  IndexEnv& env_;
  std::unique_ptr<Txn> txn_;
  MetaRow meta_;
  int done_ = 0;
};

// Messages that may have been removed, by mailbox.
struct DoubtfulRange {
  Guid mailbox;
  uint32_t first = 0, last = 0;
  const char* text = "";
};

struct RebuildState {
  Env* env = nullptr;
  std::string folder;
  int64_t now = 0;  // seconds since 1970 UTC
  // The record of each body.
  std::unordered_map<uint64_t, FoundRecord> places;
  std::vector<DoubtfulRange> doubtful;
  std::set<Guid> made_up;              // mailboxes that only records in packs told of
  std::set<Guid> new_validity;         // of them, those whose UIDVALIDITY nobody knew
  std::set<Guid> unnamed;              // and those whose name nobody knew
  std::unordered_set<uint64_t> large;  // ids of the large bodies in use; known in the end
  RebuildReport* report = nullptr;
};

class RebuildReplay {
 public:
  RebuildReplay(RebuildTxn& txn, RebuildState& state) : txns_(txn), state_(state) {}

  // One transaction: its frame in the journal, or none, and its records. `removals`: whether what
  // it removed is to be removed again; `known`: whether what came after is known, too.
  Status Transaction(const JournalFrame* frame, const std::vector<FoundRecord>& records,
                     bool removals, bool known);
  // Last of all: messages whose UIDs were taken from them.
  Status Finish();

 private:
  struct Displaced {
    Guid mailbox;
    Message message;
    MessageExtra extra;
  };
  Status Changes(Txn& txn, const JournalRecord& record, bool removals);
  Status Messages(Txn& txn, const Guid& mailbox, const JournalFrame* frame,
                  const std::vector<FoundRecord>& records, bool known);
  Status Save(Txn& txn, uint32_t id, Keywords& keywords, const FoundRecord& found,
              const PackRecord& record);
  Status Copy(Txn& txn, uint32_t id, Keywords& keywords, const JournalCopy& copy);
  Status Put(Txn& txn, uint32_t id, Message message, const MessageExtra& extra);
  Status State(Txn& txn, const JournalRecord& record);
  Status Removed(Txn& txn, const JournalRecord& record);
  Result<uint32_t> FindOrMake(Txn& txn, const Guid& guid, const PackRecord* record);

  RebuildTxn& txns_;
  RebuildState& state_;
  std::vector<Displaced> displaced_;
};

}  // namespace lbox
